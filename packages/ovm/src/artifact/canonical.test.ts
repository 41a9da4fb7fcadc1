import { expect, test } from "bun:test"
import { canonicalJson } from "./canonical.ts"

const text = (value: unknown) => new TextDecoder().decode(canonicalJson(value))

test("members are in the order of their names' code units, names that are numbers too (OVMS-SRC-015)", () => {
  const value = {
    b: 1,
    "9": "nine",
    "10": "ten",
    B: [{ z: null, a: true }, undefined],
    gone: undefined,
    é: '"',
  }
  expect(text(value)).toBe('{"10":"ten","9":"nine","B":[{"a":true,"z":null},null],"b":1,"é":"\\""}')
})

test("a name that means something to a program is a name as any other (OVMS-SEC-013)", () => {
  expect(text(JSON.parse('{"__proto__": {"a": 1}, "a": 2}'))).toBe('{"__proto__":{"a":1},"a":2}')
})
