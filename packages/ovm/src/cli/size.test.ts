import { describe, expect, test } from "bun:test"
import { parseCount, parseProcessors, parseSize } from "./size.ts"

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

test("processors' time, of an option", () => {
  for (const [text, count] of [
    ["1.5", 1.5],
    ["0.01", 0.01],
    ["255", 255],
  ] as const)
    expect(parseProcessors(text, "--cpu-quota")).toBe(count)
  for (const text of ["0", "0.001", "-1", "256", "1e1", "1,5", "50%", "", "0.12345"])
    expect(() => parseProcessors(text, "--cpu-quota")).toThrow(
      expect.objectContaining({ code: "OVM_USAGE", message: expect.stringContaining("--cpu-quota") }),
    )
})
