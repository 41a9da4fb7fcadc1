import { expect, test } from "bun:test"
import { OvmError } from "../errors.ts"
import type { InstanceInfo } from "./interfaces.ts"
import { chooseName } from "./names.ts"

const taken = [{ name: "web" }] as InstanceInfo[]

test("a free name is taken as it is; without a wish the image's last part makes one", () => {
  expect(chooseName("db", "x", taken)).toBe("db")
  expect(chooseName(undefined, "localhost:5000/demo/debian:12@sha256:00", taken)).toMatch(
    /^debian-[0-9a-f]{4}$/,
  )
  expect(chooseName(undefined, "/srv/my machine/", taken)).toMatch(/^my-machine-[0-9a-f]{4}$/)
  expect(chooseName(undefined, "./", taken)).toMatch(/^machine-[0-9a-f]{4}$/)
})

test("a name in use is refused, and so is one that could be a path, an option or a line", () => {
  expect(refusal("web")).toBe("OVM_NAME_IN_USE")
  for (const name of ["", "-d", "../x", "a/b", "a b", "a\nb", "a,b", "x".repeat(64)])
    expect(refusal(name)).toBe("OVM_REQUEST_INVALID")
})

function refusal(name: string): string {
  try {
    return `no refusal of ${chooseName(name, "x", taken)}`
  } catch (error) {
    return error instanceof OvmError ? error.code : "not an OvmError"
  }
}
