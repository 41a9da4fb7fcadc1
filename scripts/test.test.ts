import { afterAll, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const CHECK = "() => expect(1).toBe(1)"

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

/** Runs scripts/test.ts over files with this content; its last line and its status. */
async function outcome(
  files: Record<string, string>,
  environment: Record<string, string> = {},
): Promise<{ last: string; status: number | null; text: string; errors: string }> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-runner-"))
  folders.push(folder)
  for (const [name, body] of Object.entries(files))
    await writeFile(join(folder, name), `import { expect, test } from "bun:test"\n${body}`)
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dir, "test.ts"), folder], {
    encoding: "utf8",
    env: { ...process.env, CI: "", ...environment },
  })
  return { last: stdout.trimEnd().split("\n").at(-1) ?? "", status, text: stdout, errors: stderr }
}

test("sums over files, and says why tests were skipped", async () => {
  const { last, status, text } = await outcome({
    "a.test.ts": `test("one", ${CHECK}); test.skip("two <&>", () => {}); console.log("SKIP two: no reason")`,
    "b.test.ts": `test("three", ${CHECK})`,
  })
  expect(last).toBe("2 passed, 0 failed, 1 skipped")
  expect(text).toContain("a.test.ts: two <&>\n")
  expect(text).toContain("\n  two: no reason\n")
  expect(status).toBe(0)
})

test("a failure is one, and is told at the end", async () => {
  const { last, status, text } = await outcome({
    "a.test.ts": `test("one <&>", () => { throw new Error("no,\\nnever") }); test("two", ${CHECK})`,
  })
  expect(last).toBe("1 passed, 1 failed, 0 skipped")
  expect(text).toMatch(/\nFailed:\n {2}\S*a\.test\.ts:2: one <&>: no, never\n\n1 passed/)
  expect(status).toBe(1)
})

test("nothing is tried twice, in CI neither", async () => {
  const files = {
    "a.test.ts": `let n = 0; test("one", () => { if (n++ === 0) throw new Error("no"); (${CHECK})() })`,
  }
  for (const CI of ["", "true"])
    expect((await outcome(files, { CI })).last).toBe("0 passed, 1 failed, 0 skipped")
})

test("a test that checks nothing is a failure", async () => {
  const { last, text } = await outcome({
    "a.test.ts": `test("one", ${CHECK}); test("two", async () => { for (const _ of []) expect(1).toBe(1) })`,
  })
  expect(last).toBe("1 passed, 1 failed, 0 skipped")
  expect(text).toContain("expected at least one assertion")
})

test("a file that cannot be loaded is a failure", async () => {
  const { last, status } = await outcome({
    "a.test.ts": `test("one", ${CHECK})`,
    "b.test.ts": `import "./absent.ts"`,
  })
  expect(last).toBe("1 passed, 1 failed, 0 skipped")
  expect(status).toBe(1)
})

test("files run side by side, each printed whole, and those that are to be alone once all others have ended", async () => {
  const meet = (own: string, other: string) => `
    import { existsSync, writeFileSync } from "node:fs"
    import { until } from ${JSON.stringify(import.meta.resolve("@ovms/testkit/until.ts"))}
    test("meets", async () => {
      const at = (name) => import.meta.dir + "/" + name
      console.log("BEGIN ${own}")
      writeFileSync(at("${own}"), "")
      expect(await until("the other one", () => existsSync(at("${other}")))).toBe(true)
      console.log("END ${own}")
      writeFileSync(at("${own}.done"), "")
    })`
  const alone = `
    // Lane: alone. For a test.
    import { readdirSync } from "node:fs"
    test("alone", () => expect(readdirSync(import.meta.dir).filter((name) => name.endsWith(".done"))).toHaveLength(2))`
  const files = {
    "a.test.ts": alone.replaceAll(/^ +/gm, ""),
    "b.test.ts": meet("b", "c"),
    "c.test.ts": meet("c", "b"),
  }
  const { last, text } = await outcome(files, { LANES: "2" })
  expect(last).toBe("3 passed, 0 failed, 0 skipped")
  expect(text.match(/(BEGIN|END) \w/g)?.join(", ")).toMatch(/^BEGIN (\w), END \1, BEGIN (\w), END \2$/)
})

test("what is to be first is, the longest before the others, and a lane that there is not is refused", async () => {
  const marked = (lane: string, name: string) => `// Lane: ${lane}. For a test.\ntest("${name}", ${CHECK})`
  const files = {
    "a.test.ts": `test("last", ${CHECK})`,
    "b.test.ts": marked("first", "third"),
    "c.test.ts": marked("first, 9 min", "second"),
    "d.test.ts": marked("first, 10 min", "first"),
  }
  const { last, text } = await outcome(files, { LANES: "1" })
  expect(last).toBe("4 passed, 0 failed, 0 skipped")
  expect(Array.from(text.matchAll(/\(pass\) (\w+)/g), ([, name]) => name)).toEqual([
    ...["first", "second", "third", "last"],
  ])
  const refused = await outcome({ "a.test.ts": marked("last", "one") })
  expect(refused).toMatchObject({ status: 1, text: "" })
  expect(refused.errors).toMatch(/a\.test\.ts: there is no lane last/)
})

test("no test at all is a failure", async () => {
  const { status } = await outcome({})
  expect(status).toBe(1)
})
