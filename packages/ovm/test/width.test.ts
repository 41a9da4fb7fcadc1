import { expect, test } from "bun:test"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Glob } from "bun"

const ROOT = join(import.meta.dir, "../../..")
const WIDTH = 120
const COMMENT = /^\s*(?:\/\/|\/?\*)/

// The formatter breaks code, and leaves comments as they are.
test(`no line of a comment is wider than ${WIDTH} columns`, async () => {
  const sources = new Glob("{packages,scripts,bench}/**/*.ts").scan({ cwd: ROOT })
  const files = (await Array.fromAsync(sources)).filter(
    (file) => !/\/(?:node_modules|generated|dist)\//.test(file),
  )
  expect(files.length).toBeGreaterThan(500)
  const wide: string[] = []
  for (const file of files.sort())
    for (const [index, line] of (await readFile(join(ROOT, file), "utf8")).split("\n").entries())
      if (COMMENT.test(line) && [...line].length > WIDTH) wide.push(`${file}:${index + 1}: ${line.trim()}`)
  expect(wide).toEqual([])
})
