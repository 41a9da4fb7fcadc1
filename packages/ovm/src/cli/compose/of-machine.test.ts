import { expect, test } from "bun:test"
import { OvmError } from "../../errors.ts"
import { ofMachine } from "./of-machine.ts"

const id = "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516"
const member = { machine: "web", id }

test("a fault of an instance is told by its machine's name, with the same code", () => {
  const thrown = new OvmError("OVM_STATE_CONFLICT", `instance ${id} is stopping`, { hint: "wait" })
  expect(ofMachine(thrown, member)).toMatchObject({
    code: "OVM_STATE_CONFLICT",
    message: "machine web is stopping",
    hint: "wait",
    cause: thrown,
  })
})

test("one that is gone has been removed", () => {
  const thrown = new OvmError("OVM_INSTANCE_UNKNOWN", `there is no instance ${JSON.stringify(id)}`)
  expect(ofMachine(thrown, member)).toMatchObject({
    code: "OVM_INSTANCE_UNKNOWN",
    message: "machine web has been removed meanwhile",
  })
})

test("what names no instance stays what it is", () => {
  for (const thrown of [new OvmError("OVM_NO_SPACE", "full"), new DOMException("", "AbortError")])
    expect(ofMachine(thrown, member)).toBe(thrown)
})
