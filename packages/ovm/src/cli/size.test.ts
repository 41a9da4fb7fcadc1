import { describe, expect, test } from "bun:test"
import { parseCount, parseSize } from "./size.ts"

describe("sizes", () => {
  test.each([
    ["536870912", 536870912],
    ["512MiB", 512 * 2 ** 20],
    ["512m", 512 * 2 ** 20],
    ["2 GiB", 2 * 2 ** 30],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["0", 0],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSize(text, "--memory")).toBe(bytes)
  })

  test.each([
    "",
    "MiB",
    "-1",
    "512MB",
    "1e9",
    "0x10",
    "1.3",
    "99999999TiB",
    "512 MiB\n,mem-path=/etc/passwd",
  ])("%j is refused", (text) => {
    expect(() => parseSize(text, "--memory")).toThrow(
      expect.objectContaining({ code: "OVM_USAGE", message: expect.stringContaining("--memory") }),
    )
  })

  test.each(["0", "-1", "1.5", "two", "", "1e3", "9999999999"])("%j is no count of CPUs", (text) => {
    expect(() => parseCount(text, "--cpus")).toThrow(
      expect.objectContaining({ code: "OVM_USAGE", message: expect.stringContaining("--cpus") }),
    )
  })
})
