import { expect, test } from "bun:test"
import { join } from "node:path"
import { exportedNames } from "../../../scripts/declarations.ts"
import { isTest } from "./imports.ts"

const SOURCE = join(import.meta.dir, "../src")

/** Every command's file has one, and is read by that name (cli/commands.ts). */
const OF_EVERY_COMMAND = "define"

test("one exported name means one thing in all of packages/ovm/src", async () => {
  const homes = new Map<string, string[]>()
  for await (const file of new Bun.Glob("**/*.ts").scan(SOURCE)) {
    if (/(^|\/)generated\//.test(file) || isTest(file)) continue
    for (const name of exportedNames(file, await Bun.file(join(SOURCE, file)).text()))
      if (name !== OF_EVERY_COMMAND || !file.startsWith("cli/commands/"))
        homes.set(name, [...(homes.get(name) ?? []), file])
  }
  expect(homes.size).toBeGreaterThan(1000)
  const shared = [...homes].filter(([, files]) => files.length > 1)
  expect(shared.map(([name, files]) => `${name}: ${files.sort().join(", ")}`)).toEqual([])
})

test("a file of a common suite has that suite and nothing else; what helps tests is in .testing.ts", async () => {
  const suites = await Array.fromAsync(new Bun.Glob("**/*.suite.ts").scan(SOURCE))
  expect(suites).toContain("content/store.suite.ts")
  for (const file of suites) {
    const [name, ...others] = exportedNames(file, await Bun.file(join(SOURCE, file)).text())
    expect([file, name, others]).toEqual([file, expect.stringMatching(/Suite$/), []])
  }
})

test("what is declared and exported counts, and nothing else", () => {
  const text = `
    export const a = 1, b = 2
    export function c(): void
    export function c() {}
    export class D {}
    export interface E {}
    export type F = 1
    const g = 1
    export { h } from "./h.ts"
    export * from "./i.ts"`
  expect(exportedNames("x.ts", text)).toEqual(["a", "b", "c", "D", "E", "F"])
})
