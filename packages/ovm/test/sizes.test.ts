import { expect, test } from "bun:test"
import { join } from "node:path"
import { isTest } from "./imports.ts"

const ROOT = join(import.meta.dir, "../../..")

/** Lines of a file, and of half of them. */
const MOST = 350
const MEDIAN = 80

const FILES = [
  "packages/*/src/**/*.{ts,c}",
  "{bench,scripts}/**/*.ts",
  "clients/python/src/**/*.py",
  "examples/**/*.{ts,py}",
]
/** Derived from the specification (scripts/generate-python.ts). */
const GENERATED = /\/generated\/|\/node_modules\/|^clients\/python\/src\/ovms\/(types|_operations)\.py$/

test(`no file has more than ${MOST} lines, and half of them have at most ${MEDIAN}`, async () => {
  const sizes = new Map<string, number>()
  for (const pattern of FILES)
    for await (const file of new Bun.Glob(pattern).scan(ROOT)) {
      if (GENERATED.test(file) || isTest(file)) continue
      sizes.set(file, (await Bun.file(join(ROOT, file)).text()).split("\n").length - 1)
    }
  expect(sizes.size).toBeGreaterThan(900)
  expect([...sizes].filter(([, lines]) => lines > MOST)).toEqual([])
  const sorted = [...sizes.values()].sort((one, other) => one - other)
  expect(sorted[sorted.length >> 1]).toBeLessThanOrEqual(MEDIAN)
})
