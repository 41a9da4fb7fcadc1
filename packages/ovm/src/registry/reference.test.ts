import { expect, test } from "bun:test"
import { OvmError } from "../errors.ts"
import { isPath, parseReference } from "./reference.ts"

const DIGEST = `sha256:${"a".repeat(64)}`

test.each([
  ["ubuntu", [undefined, "ubuntu", "latest", undefined], "ubuntu:latest"],
  ["a/b:1.0", [undefined, "a/b", "1.0", undefined], "a/b:1.0"],
  ["foo.bar", [undefined, "foo.bar", "latest", undefined], "foo.bar:latest"],
  ["foo:5000", [undefined, "foo", "5000", undefined], "foo:5000"],
  ["localhost/x", ["localhost", "x", "latest", undefined], "localhost/x:latest"],
  ["localhost:5000/a/b:v", ["localhost:5000", "a/b", "v", undefined], "localhost:5000/a/b:v"],
  ["127.0.0.1:1/a", ["127.0.0.1:1", "a", "latest", undefined], "127.0.0.1:1/a:latest"],
  ["[::1]:5000/a:b", ["[::1]:5000", "a", "b", undefined], "[::1]:5000/a:b"],
  ["Registry.Example.COM/a:B", ["registry.example.com", "a", "B", undefined], "registry.example.com/a:B"],
  [`r.io/a@${DIGEST}`, ["r.io", "a", undefined, DIGEST], `r.io/a@${DIGEST}`],
  [`r.io/a:t@${DIGEST}`, ["r.io", "a", "t", DIGEST], `r.io/a:t@${DIGEST}`],
])("%s is understood", (text, parts, canonical) => {
  const reference = parseReference(text)
  expect([reference.host, reference.repository, reference.tag, reference.digest] as unknown[]).toEqual(parts)
  expect(reference.toString()).toBe(canonical)
  expect(parseReference(canonical)).toEqual(reference)
})

test.each([
  ["", "repository"],
  ["/etc/passwd", "path"],
  ["./disk", "path"],
  ["../disk", "path"],
  ["a/../b", "repository"],
  ["a//b", "repository"],
  ["a/b/", "repository"],
  ["Ubuntu", "upper-case"],
  ["r.io/Ubuntu:v", "upper-case"],
  ["a:", "tag"],
  ["a:-x", "tag"],
  [`a:${"x".repeat(129)}`, "tag"],
  ["a:b:c", "tag"],
  ["a b", "repository"],
  ["a,mem-path=/etc/passwd", "repository"],
  ["a\nb", "repository"],
  ["a\0", "repository"],
  ["a@sha256:12", "digest"],
  [`a@sha512:${"a".repeat(128)}`, "digest"],
  [`a@${DIGEST}@${DIGEST}`, "digest"],
  [`a@${DIGEST.toUpperCase()}`, "digest"],
  [DIGEST, "without a repository"],
  ["host.io:0/a", "host"],
  ["host.io:99999/a", "host"],
  ["-h.io/a", "host"],
  ["user:pass@host.io/a", "digest"],
  ["http://host.io/a", "host"],
  [`r.io/${"a".repeat(251)}`, "255"],
  [`a/${"b".repeat(600)}`, "512"],
])("%j is refused, and why", (text, reason) => {
  let error: unknown
  try {
    parseReference(text)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(OvmError)
  expect(error).toMatchObject({ code: "OVM_REFERENCE_INVALID", message: expect.stringContaining(reason) })
})

test("a path begins with a slash or dots and a slash", () => {
  for (const path of ["/a", "./a", "../a", ".", ".."]) expect(isPath(path)).toBe(true)
  for (const name of ["a", "a/b", ".../a", "a/./b", "localhost/a"]) expect(isPath(name)).toBe(false)
})
