import { afterAll, expect, test } from "bun:test"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Lanes } from "./lanes.ts"

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

/** Files of a folder of their own, each of which says that it is there and then waits until those named are as well. */
async function meeting(files: Record<string, readonly string[]>): Promise<{ cwd: string; names: string[] }> {
  const cwd = await mkdtemp(join(tmpdir(), "ovm-lanes-"))
  folders.push(cwd)
  await mkdir(join(cwd, "lanes"))
  const names = Object.keys(files).map((name) => `${name}.test.ts`)
  for (const [name, others] of Object.entries(files))
    await writeFile(
      join(cwd, `${name}.test.ts`),
      `import { expect, test } from "bun:test"
import { appendFileSync, existsSync, writeFileSync } from "node:fs"
import { until } from ${JSON.stringify(import.meta.resolve("@ovms/testkit/until.ts"))}
test("${name}", async () => {
  appendFileSync(import.meta.dir + "/log", "+")
  writeFileSync(import.meta.dir + "/${name}", "")
  for (const other of ${JSON.stringify(others)})
    expect(await until(other, () => existsSync(import.meta.dir + "/" + other))).toBe(true)
  appendFileSync(import.meta.dir + "/log", "-")
  expect(1).toBe(1)
})`,
    )
  return { cwd, names }
}

const failed = (outcomes: readonly { file: string; status: number }[]) =>
  outcomes.filter(({ status }) => status !== 0).map(({ file }) => file)

test("more files are run at a time while the host has something to spare, and each once", async () => {
  const all = ["a", "b", "c", "d", "e"]
  const { cwd, names } = await meeting(Object.fromEntries(all.map((name) => [name, all])))
  const outcomes = await new Lanes(cwd, join(cwd, "lanes")).run(names, 2, { more: 3, spare: () => true })
  expect(failed(outcomes)).toEqual([])
  expect(outcomes.map(({ file }) => file).sort()).toEqual(names)
})

test("no file is begun beside the others on a host that has nothing to spare, nor more than there may be", async () => {
  for (const beside of [
    { more: 2, spare: () => false },
    { more: 0, spare: () => true },
  ]) {
    const { cwd, names } = await meeting({ a: ["b"], b: ["a"], c: [], d: [] })
    expect(failed(await new Lanes(cwd, join(cwd, "lanes")).run(names, 2, beside))).toEqual([])
    let [now, most] = [0, 0]
    for (const sign of await readFile(join(cwd, "log"), "latin1")) {
      now += sign === "+" ? 1 : -1
      most = Math.max(most, now)
    }
    expect(most).toBe(2)
  }
})
