import { afterAll, beforeAll, expect, test } from "bun:test"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-runs-"))
})
afterAll(() => rm(root, { recursive: true }))

// What tests start, and then they hang: a daemon, known by its environment, and a machine, known by where it works.
const hanging = (seconds: string) => `
  import { expect, test } from "bun:test"
  import { spawn } from "node:child_process"
  import { mkdtempSync } from "node:fs"
  import { tmpdir } from "node:os"
  test("hangs", async () => {
    const cwd = mkdtempSync(tmpdir() + "/ovm-x-")
    for (const more of [{ cwd: "/" }, { cwd, env: {} }])
      spawn("/bin/sleep", ["${seconds}"], { detached: true, stdio: "ignore", ...more }).unref()
    console.log("STARTED")
    await Bun.sleep(600_000)
    expect(1).toBe(1)
  }, 600_000)`

const passing = `import { expect, test } from "bun:test"; test("one", () => expect(1).toBe(1))`

let count = 0
/** Ten minutes, written as nobody else does who runs these tests here. */
const ownSeconds = () => `600.${process.pid}0${count++}`

/** How many processes with that argument there are. */
function running(seconds: string): number {
  const commands = readdirSync("/proc").map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8")
    } catch {
      return ""
    }
  })
  return commands.filter((command) => command === `/bin/sleep\0${seconds}\0`).length
}

/** A run of scripts/test.ts over one file, with temporary files of its own; its words so far. */
async function begin(parent: string, body: string): Promise<{ child: ChildProcess; said: () => string }> {
  const folder = await mkdtemp(join(root, "files-"))
  await writeFile(join(folder, "a.test.ts"), body)
  const child = spawn(process.execPath, [join(import.meta.dir, "test.ts"), folder], {
    env: { ...process.env, TMPDIR: parent },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let text = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += data))
  return { child, said: () => text }
}

async function started(parent: string, seconds: string): Promise<ChildProcess> {
  const { child, said } = await begin(parent, hanging(seconds))
  await until("the test has started", said, { is: (text) => text.includes("STARTED") })
  // They are sleeps a moment after they were started.
  await until("both run", () => running(seconds), { is: (count) => count === 2 })
  return child
}

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("a run that gets %s leaves no process and no folder", async (signal, status) => {
  const parent = await mkdtemp(join(root, "p-"))
  const seconds = ownSeconds()
  const child = await started(parent, seconds)
  child.kill(signal)
  expect(await once(child, "exit")).toEqual([status, null])
  expect(running(seconds)).toBe(0)
  expect(await readdir(parent)).toEqual([])
})

test("a run in lanes that gets SIGINT shows what it kept of the output, and begins no further file", async () => {
  const parent = await mkdtemp(join(root, "p-"))
  const files = await mkdtemp(join(root, "files-"))
  const begun = (name: string) => `
    import { expect, test } from "bun:test"
    import { writeFileSync } from "node:fs"
    test("hangs", async () => {
      console.log("BEGUN ${name}")
      writeFileSync(import.meta.dir + "/${name}.begun", "")
      await Bun.sleep(600_000)
      expect(1).toBe(1)
    }, 600_000)`
  for (const name of ["a", "b", "c", "d"]) await writeFile(join(files, `${name}.test.ts`), begun(name))
  const child = spawn(process.execPath, [join(import.meta.dir, "test.ts"), files], {
    env: { ...process.env, TMPDIR: parent, LANES: "2" },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let text = ""
  child.stdout.on("data", (data) => (text += data))
  const both = async () => (await readdir(files)).filter((name) => name.endsWith(".begun")).sort()
  await until("two have begun", both, { is: (names) => names.length === 2 })
  child.kill("SIGINT")
  expect(await once(child, "close")).toEqual([130, null])
  // One lane begins at the end.
  expect(await both()).toEqual(["a.begun", "d.begun"])
  for (const name of ["a", "d"]) expect(text).toContain(`BEGUN ${name}\n`)
  expect(await readdir(parent)).toEqual([])
})

test("what a killed run left is removed by the next one, and what a living one has is not", async () => {
  const parent = await mkdtemp(join(root, "p-"))
  const [first, second] = [ownSeconds(), ownSeconds()]
  const dead = await started(parent, first)
  const living = await started(parent, second)
  dead.kill("SIGKILL")
  await once(dead, "exit")
  expect(await readdir(parent)).toHaveLength(2)
  const { child, said } = await begin(parent, passing)
  expect(await once(child, "close")).toEqual([0, null])
  expect(said()).toContain("removed what a dead run left")
  expect([running(first), running(second)]).toEqual([0, 2])
  expect(await readdir(parent)).toHaveLength(1)
  living.kill("SIGTERM")
  await once(living, "exit")
  expect(await readdir(parent)).toEqual([])
})

test("a folder of another boot or pid is a dead run's, one without an owner is after a minute", async () => {
  const parent = await mkdtemp(join(root, "p-"))
  for (const name of ["boot", "young", "old"]) await mkdir(join(parent, `ovm-run-${name}`))
  await mkdir(join(parent, "other"))
  const start = /.*\) (.*)/s.exec(readFileSync("/proc/self/stat", "utf8"))?.[1]?.split(" ")[19]
  await writeFile(join(parent, "ovm-run-boot/owner"), `${process.pid} ${start} another-boot\n`)
  const before = new Date(Date.now() - 120_000)
  await utimes(join(parent, "ovm-run-old"), before, before)
  const { child } = await begin(parent, passing)
  await once(child, "close")
  expect((await readdir(parent)).sort()).toEqual(["other", "ovm-run-young"])
  expect(existsSync(join(parent, "other"))).toBe(true)
})
