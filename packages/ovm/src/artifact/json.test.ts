import { expect, test } from "bun:test"
import { readJson } from "./json.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

// Whatever JSON.parse takes and has no member twice, the reader must take, with the same value.
const SAMPLES = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "-1.5e-3",
  '""',
  '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00"',
  "[]",
  "{}",
  "[[],{},[{}]]",
  ' { "a" : [ 1 , { "b" : null } ] , "" : "x" } \n',
  '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
  '"é😀\u2028"',
]

test.each(SAMPLES)("%s is read as JSON.parse reads it", (text) => {
  expect(readJson(bytes(text))).toEqual({ value: JSON.parse(text) })
})

const BROKEN = [
  "",
  " ",
  "nul",
  "tru",
  "01",
  "1.",
  ".5",
  "+1",
  "1e",
  "'a'",
  '"a',
  '"\\x"',
  '"\\u12"',
  '"\t"',
  "[1",
  "[1,]",
  "[,]",
]
const BROKEN_OBJECTS = [
  "{",
  '{"a"',
  '{"a":',
  '{"a":1',
  '{"a":1,}',
  "{a:1}",
  '{"a" 1}',
  "{1:1}",
  "{}}",
  "[]]",
  "1 2",
  '{"a":1]',
]

test.each([...BROKEN, ...BROKEN_OBJECTS])(
  "%j is refused, as JSON.parse refuses it (OVMS-SEC-011)",
  (text) => {
    expect(() => JSON.parse(text)).toThrow()
    expect(readJson(bytes(text))).toMatchObject({ fault: { kind: "syntax" } })
  },
)

test("a fault says where it is", () => {
  expect(readJson(bytes('{\n  "a/b": [1, 2, x]\n}'))).toEqual({
    fault: {
      kind: "syntax",
      pointer: "/a~1b/2",
      message: 'expected a value instead of "x" (line 2, column 17)',
    },
  })
})

test("a member called __proto__ is a member like any other (OVMS-SEC-013)", () => {
  const read = readJson(bytes('{"__proto__":{"polluted":true}}'))
  const value = "value" in read ? (read.value as object) : {}
  expect(Object.keys(value)).toEqual(["__proto__"])
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  expect("polluted" in value).toBe(false)
})

test("limits can be set lower", () => {
  expect(readJson(bytes("[[1]]"), { depth: 1 })).toMatchObject({ fault: { kind: "depth", pointer: "/0" } })
  expect(readJson(bytes("[[1]]"), { bytes: 4 })).toMatchObject({ fault: { kind: "size" } })
})

test("random documents come through unchanged", () => {
  let seed = 42
  const random = (n: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed % n
  }
  const value = (depth: number): unknown => {
    const kind = random(depth > 6 ? 4 : 6)
    if (kind === 0) return null
    if (kind === 1) return random(2) === 0
    if (kind === 2) return (random(2_000_000) - 1_000_000) / 64
    if (kind === 3) return String.fromCharCode(...Array.from({ length: random(6) }, () => random(0xd7ff)))
    if (kind === 4) return Array.from({ length: random(5) }, () => value(depth + 1))
    return Object.fromEntries(Array.from({ length: random(5) }, (_, i) => [`k${i}"\\`, value(depth + 1)]))
  }
  for (let round = 0; round < 300; round++) {
    const expected = value(0)
    expect(readJson(bytes(JSON.stringify(expected, undefined, round % 3)))).toEqual({ value: expected })
  }
})

// The runtime's own form takes a shorter way, which must come to the same end as the reader's.
test.each([
  '{"a":[[]]}',
  '{"a":[{}]}',
  '[[["x"]]]',
  '{"a":{"b":1,"b":1}}',
  '{"1":1,"0":2}',
  '{"__proto__":{"a":1}}',
  '["\\ud800"]',
  '["\\udead"]',
  "[1e999]",
  "[-0]",
  "[1.0]",
])("%s is judged alike with and without white space", (text) => {
  for (const depth of [1, 2, 3]) {
    const [plain, spaced] = [readJson(bytes(text), { depth }), readJson(bytes(`${text} `), { depth })]
    expect(plain).toEqual(spaced)
  }
})
