import { afterAll, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

/** Runs scripts/test.ts over files with this content; its last line and its status. */
async function outcome(
  files: Record<string, string>,
  environment: Record<string, string> = {},
): Promise<{ last: string; status: number | null; text: string }> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-runner-"))
  folders.push(folder)
  for (const [name, body] of Object.entries(files))
    await writeFile(join(folder, name), `import { test } from "bun:test"\n${body}`)
  const { status, stdout } = spawnSync(process.execPath, [join(import.meta.dir, "test.ts"), folder], {
    encoding: "utf8",
    env: { ...process.env, CI: "", ...environment },
  })
  return { last: stdout.trimEnd().split("\n").at(-1) ?? "", status, text: stdout }
}

test("sums over files, and says why tests were skipped", async () => {
  const { last, status, text } = await outcome({
    "a.test.ts": `test("one", () => {}); test.skip("two <&>", () => {}); console.log("SKIP two: no reason")`,
    "b.test.ts": `test("three", () => {})`,
  })
  expect(last).toBe("2 passed, 0 failed, 1 skipped")
  expect(text).toContain("a.test.ts: two <&>\n")
  expect(text).toContain("\n  two: no reason\n")
  expect(status).toBe(0)
})

test("a failure is one", async () => {
  const { last, status } = await outcome({
    "a.test.ts": `test("one", () => { throw new Error("no") }); test("two", () => {})`,
  })
  expect(last).toBe("1 passed, 1 failed, 0 skipped")
  expect(status).toBe(1)
})

test("in CI a test has a second attempt, and is named for it", async () => {
  const files = {
    "a.test.ts": `let n = 0; test("one", () => { if (n++ === 0) throw new Error("no") })
      test("two", () => { throw new Error("never") })`,
  }
  const { last, text } = await outcome(files, { CI: "true" })
  expect(last).toBe("1 passed, 1 failed, 0 skipped")
  expect(text).toContain("Passed at a second attempt only:\n  one\n")
  expect((await outcome(files)).last).toBe("0 passed, 2 failed, 0 skipped")
})

test("a file that cannot be loaded is a failure", async () => {
  const { last, status } = await outcome({
    "a.test.ts": `test("one", () => {})`,
    "b.test.ts": `import "./absent.ts"`,
  })
  expect(last).toBe("1 passed, 1 failed, 0 skipped")
  expect(status).toBe(1)
})

test("no test at all is a failure", async () => {
  const { status } = await outcome({})
  expect(status).toBe(1)
})
