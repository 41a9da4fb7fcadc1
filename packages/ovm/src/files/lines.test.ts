import { expect, test } from "bun:test"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { appendWhole } from "./lines.ts"

test.each([
  ["", "three\n"],
  ["one\ntwo\n", "one\ntwo\nthree\n"],
  // A writer died in the middle of its line.
  ["one\ntw", "one\nthree\n"],
  ["tw", "three\n"],
])("after %j a line is whole", (before, after) => {
  const folder = mkdtempSync(join(tmpdir(), "ovm-lines-"))
  try {
    writeFileSync(join(folder, "file"), before)
    const fd = openSync(join(folder, "file"), "a+")
    appendWhole(fd, "three\n")
    closeSync(fd)
    expect(readFileSync(join(folder, "file"), "utf8")).toBe(after)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
