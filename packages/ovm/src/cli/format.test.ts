import { expect, test } from "bun:test"
import { formatAge, formatSize, shortDigest } from "./format.ts"
import { printable } from "./output.ts"

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1536, "1.5 KiB"],
  [2 ** 30, "1 GiB"],
  [123.4 * 2 ** 20, "123 MiB"],
  [5 * 2 ** 60, "5120 PiB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text)
})

test.each([
  ["2026-11-23T14:59:59Z", "just now"],
  ["2026-11-23T14:58:30Z", "1 minute ago"],
  ["2026-11-21T14:00:00Z", "2 days ago"],
  ["2024-01-01T00:00:00Z", "2 years ago"],
  ["2027-01-01T00:00:00Z", "just now"],
  ["yesterday", ""],
  [undefined, ""],
])("at 15:00 %s is %j", (time, text) => {
  expect(formatAge(time, Date.parse("2026-11-23T15:00:00Z"))).toBe(text)
})

// OVMS-SEC-021
test("control characters of others cannot reach a terminal", () => {
  expect(printable("a\x1b[2Jb\rc\u009bd\u202ee\u2028")).toBe("a\\u001b[2Jb\\rc\\u009bd\\u202ee\\u2028")
  expect(printable("Zürich – 東京")).toBe("Zürich – 東京")
})

test("a short digest is the first twelve digits", () => {
  expect(shortDigest(`sha256:${"0123456789abcdef".repeat(4)}`)).toBe("0123456789ab")
})
