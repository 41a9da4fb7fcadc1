import { expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { workerUrl } from "./worker.ts"

const SOURCE = join(import.meta.dir, "..")

test("a worker's address is that of its source file", () => {
  expect(fileURLToPath(workerUrl("content/hash-worker.ts"))).toBe(join(SOURCE, "content/hash-worker.ts"))
})

test("every worker that is asked for is there, and an entry of the compiled program", async () => {
  const compile = await readFile(join(SOURCE, "../../../scripts/compile.ts"), "utf8")
  const asked: string[] = []
  for await (const name of new Bun.Glob("**/*.ts").scan(SOURCE)) {
    if (/\.(test|suite)\.ts$/.test(name)) continue
    const text = await readFile(join(SOURCE, name), "utf8")
    asked.push(...[...text.matchAll(/\bworkerUrl\("([^"]+)"\)/g)].map(([, path = ""]) => path))
  }
  expect(asked.length).toBeGreaterThan(2)
  for (const path of asked) {
    expect(existsSync(join(SOURCE, path))).toBe(true)
    expect(compile).toContain(`"${path}"`)
  }
})
