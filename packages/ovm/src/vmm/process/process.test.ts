import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { constants, getPriority, tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { pidsIn, processesIn } from "@ovms/testkit/processes.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { until } from "@ovms/testkit/until.ts"
import { readConsole } from "../console.ts"
import { readExit, readStderr, waitForExit } from "./exit.ts"
import { killGroup } from "./group.ts"
import { endHelpers, noteHelper } from "./helpers.ts"
import { isAlive, kill, startedIn, usageOf } from "./identity.ts"
import { spawnKept } from "./keeper.ts"
import { spawnOlder } from "./older-keeper.testing.ts"
import { endStray, isInhabited, vmmIn } from "./stray.ts"

// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const root = mkdtempSync(join(tmpdir(), "ovm-process-"))
const folders: string[] = []
afterAll(async () => {
  const left = folders.flatMap(processesIn)
  await Promise.all(folders.map(endStray))
  expect(left).toEqual([])
  rmSync(root, { recursive: true })
})

/** A shell in the place of a VMM: it can be made to say and do anything. */
async function run(script: string, consoleLimit = 1000, folder = root) {
  const directory = mkdtempSync(join(folder, "vmm-"))
  folders.push(directory)
  const { group } = await spawnKept(["sh", "-c", script], { directory, consoleLimit })
  const identity = await until("its process", () => startedIn(directory), { everyMs: 1 })
  return { directory, group, identity, status: () => waitForExit(directory, identity) }
}

async function consoleOf(directory: string, offset?: number): Promise<string> {
  let text = ""
  for await (const bytes of readConsole(directory, offset === undefined ? {} : { offset }))
    text += Buffer.from(bytes).toString()
  return text
}

test("leaves the exit status, also of a signal", async () => {
  for (const [script, status] of [
    ["exit 0", 0],
    ["exit 7", 7],
    ["kill -9 $$", 137],
    ["kill -15 $$", 143],
  ] as const) {
    const { directory, identity, status: wait } = await run(script)
    expect(await wait()).toBe(status)
    expect(await readExit(directory)).toBe(status)
    expect(await isAlive(identity)).toBe(false)
  }
})

test("yields to whoever started it, as a session and with each of its threads", async () => {
  const { directory, group, identity } = await run("while :; do :; done & wait")
  const nicer = (ours: number) => Math.min(ours + 5, 19)
  const shells = await until("both shells", () => pidsIn(directory, "sh"), { is: (all) => all.length === 2 })
  for (const pid of shells) expect(getPriority(pid)).toBe(nicer(getPriority()))
  const session = (pid: number | "self") => {
    const path = `/proc/${pid}/autogroup`
    return existsSync(path) ? /nice (-?\d+)|$/.exec(readFileSync(path, "latin1"))?.[1] : undefined
  }
  // What the first process of a host runs is in no session's group: its threads are weighed beside them.
  const ours = Number(session("self") ?? getPriority())
  // Users without privileges may have to ask more than once.
  if (existsSync("/proc/self/autogroup"))
    await until("its session's value", () => session(identity.pid) === String(nicer(ours)))
  await killGroup(group)
})

test("the exit status is waited for as long as there is a keeper that writes it", async () => {
  const { directory, group, identity } = await run("exec sleep 60")
  process.kill(group, "SIGSTOP")
  await kill(identity)
  setTimeout(() => process.kill(group, "SIGCONT"), 300)
  expect(await waitForExit(directory, identity, { hint: Promise.resolve() })).toBe(137)
})

test("a keeper is one process, known by its name, and nothing of the VMM's arguments is its own", async () => {
  const { directory, group, identity } = await run("exec sleep 60")
  // The kernel gives a program its name before its arguments (execve): of those it may have none yet.
  await until("the VMM's arguments", () => processesIn(directory).some((line) => line.trim() === "sleep 60"))
  expect(pidsIn(directory, "ovm-keeper")).toEqual([group])
  expect(
    processesIn(directory)
      .map((line) => line.trim())
      .sort(),
  ).toEqual([`ovm-keeper ${directory}`, "sleep 60"])
  expect(getPriority(group)).toBe(Math.min(getPriority() + 5, 19))
  expect((await vmmIn(directory))?.pid).toBe(identity.pid)
  rmSync(join(directory, "pid"))
  expect((await vmmIn(directory))?.pid).toBe(identity.pid)
  await killGroup(group)
})

test("passes on every byte at once, in whatever pieces it comes", async () => {
  const { directory, status } = await run("for i in 1 2 3 4 5; do printf $i; sleep 0.02; done; exec sleep 60")
  let text = ""
  for await (const bytes of readConsole(directory, { follow: true })) {
    text += Buffer.from(bytes).toString()
    if (text === "12345") break
  }
  expect(await endStray(directory)).toBe(true)
  expect(await status()).toBe(137)
})

test("keeps the last two segments of the console", async () => {
  const { directory, status } = await run("i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i + 1)); done", 1000)
  expect(await status()).toBe(0)
  const all = Array.from({ length: 1000 }, (_, index) => `${index}\n`).join("")
  const files = readdirSync(directory).filter((name) => /^console\.\d+$/.test(name))
  expect(files.sort()).toEqual(["console.3000", "console.3500"])
  expect(await consoleOf(directory)).toBe(all.slice(3000))
  expect(await consoleOf(directory, 10)).toBe(all.slice(3000))
  expect(await consoleOf(directory, 3456)).toBe(all.slice(3456))
  expect(await consoleOf(directory, 3700)).toBe(all.slice(3700))
  expect(await consoleOf(directory, 99_999)).toBe("")
})

const COUNT = `i=0; while [ $i -lt 5000 ]; do echo "$i ${"x".repeat(200)}"; sleep 0.005; i=$((i + 1)); done`

/** What comes last of it, as a number. */
const lastOf = async (directory: string) =>
  Number.parseInt((await consoleOf(directory)).trimEnd().split("\n").at(-1) || "0", 10)

test("a console goes on, and so does the VMM, whatever signal its keeper gets but the last", async () => {
  const { directory, group, identity, status } = await run(COUNT, 4 << 20)
  const { SIGKILL, SIGSTOP, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS } = constants.signals
  const last: number[] = [SIGKILL, SIGSTOP, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS]
  for (const signal of Object.values(constants.signals).filter((number) => !last.includes(number))) {
    process.kill(group, signal)
    process.kill(group, "SIGCONT")
  }
  const before = await lastOf(directory)
  await until("more of it", () => lastOf(directory), { is: (last) => last > before + 5 })
  expect(await isAlive(identity)).toBe(true)
  const text = await consoleOf(directory)
  expect(text).toStartWith("0 x")
  const numbers = text
    .split("\n")
    .slice(0, -1)
    .map((line) => Number.parseInt(line, 10))
  expect(numbers).toEqual(numbers.map((_, index) => index))
  expect(readdirSync(directory).filter((name) => /^console\.\d+$/.test(name))).toEqual(["console.0"])
  await kill(identity)
  expect(await status()).toBe(137)
})

test("a signal to the whole group ends the VMM, and its status is left all the same", async () => {
  const { group, status } = await run("exec sleep 60")
  process.kill(-group, "SIGTERM")
  expect(await status()).toBe(143)
})

test.skipIf(mountMissing !== "")(`a console goes on after its disk was full ${mountMissing}`, async () => {
  const folder = mkdtempSync(join(root, "tiny-"))
  await withTmpfs(folder, 64 << 10, async () => {
    const { directory, identity, status } = await run(COUNT, 1 << 20, folder)
    await until("a word", () => lastOf(directory), { is: (last) => last > 0 })
    const ballast = join(folder, "ballast")
    try {
      writeFileSync(ballast, Buffer.alloc(64 << 10))
    } catch {
      // As much as there is room for.
    }
    // What still goes into the last page of the file is no proof of anything.
    const full = await until("nothing more", async () => {
      const before = statSync(join(directory, "console.0")).size
      await Bun.sleep(300)
      return statSync(join(directory, "console.0")).size === before && before
    })
    rmSync(ballast)
    await until("more of it", () => statSync(join(directory, "console.0")).size > full + 2000)
    expect(await isAlive(identity)).toBe(true)
    await kill(identity)
    expect(await status()).toBe(137)
  })
})

test("a reader that follows gets all of it, and ends with the machine", async () => {
  const { directory, status } = await run(
    "i=0; while [ $i -lt 300 ]; do echo $i; sleep 0.001; i=$((i + 1)); done",
    400,
  )
  let text = ""
  for await (const bytes of readConsole(directory, { follow: true, ended: status() }))
    text += Buffer.from(bytes).toString()
  expect(text).toBe(Array.from({ length: 300 }, (_, index) => `${index}\n`).join(""))
})

test("a reader that follows can be told to stop", async () => {
  const { directory, status, identity } = await run("echo hello; exec sleep 60")
  const signal = AbortSignal.timeout(100)
  for await (const _ of readConsole(directory, { follow: true, signal }));
  expect(signal.aborted).toBe(true)
  await kill(identity)
  expect(await status()).toBe(137)
})

test("standard error is bounded and never blocks", async () => {
  const { directory, status } = await run("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo done")
  expect(await status()).toBe(0)
  expect(statSync(join(directory, "stderr")).size).toBe(65_536)
  expect((await readStderr(directory))?.length).toBe(2048)
  expect(await consoleOf(directory)).toBe("done\n")
})

test("runs in a session of its own, in its folder, with PATH alone", async () => {
  process.env.OVM_SECRET = "of the daemon"
  const { directory, status } = await run(
    "env | grep -v ^PATH= | cut -d= -f1; pwd; set -- /proc/$$/fd/*; echo $#",
    4000,
  )
  expect(await status()).toBe(0)
  const text = await consoleOf(directory)
  expect(text).toContain(directory)
  expect(text).not.toContain("OVM_SECRET")
  // Standard input, output and error, the lock of `held`, and the folder that is being listed.
  expect(Number(text.trim().split("\n").at(-1))).toBeLessThanOrEqual(5)
})

test("a group is killed with all below it", async () => {
  const { directory, group } = await run("sleep 60 & sleep 60")
  await killGroup(group)
  expect(processesIn(directory)).toEqual([])
})

test("knows a process by its start, and what it uses", async () => {
  const { identity, status } = await run("exec sleep 60")
  // In the middle of an exec a process has no memory at all.
  const usage = await until("its memory", () => usageOf(identity), { is: (usage) => usage?.rss !== 0 })
  expect(usage?.rss).toBeGreaterThan(0)
  for (const other of [
    { ...identity, startTime: 1 },
    { ...identity, bootId: "x" },
  ]) {
    expect(await isAlive(other)).toBe(false)
    expect(await kill(other)).toBe(false)
    expect(await usageOf(other)).toBeUndefined()
  }
  expect(await kill(identity, "SIGTERM")).toBe(true)
  expect(await status()).toBe(143)
})

test("a program that is not there is told by its status and words", async () => {
  const directory = mkdtempSync(join(root, "none-"))
  await spawnKept(["/nowhere/vmm"], { directory, consoleLimit: 100 })
  const status = await until("its exit", () => readExit(directory), { is: (status) => status !== undefined })
  expect(status).toBe(127)
  expect(await readStderr(directory)).toContain("/nowhere/vmm")
})

test("NUL in an argument starts nothing", async () => {
  const directory = mkdtempSync(join(root, "nul-"))
  const error = await refusal(spawnKept(["echo", "a\0b"], { directory, consoleLimit: 100 }))
  expect(error.code).toBe("OVM_VMM_FAILED")
  expect(readdirSync(directory)).toEqual([])
})

test("a machine of a version that had a shell for a keeper is known, watched and ended", async () => {
  for (const script of ["echo hello; sleep 0.2; exit 7", "echo hello; exec sleep 60"]) {
    const directory = mkdtempSync(join(root, "older-"))
    folders.push(directory)
    await spawnOlder(["sh", "-c", script], directory, 1000)
    const identity = await until("its process", () => startedIn(directory), { everyMs: 1 })
    await until("its words", () => consoleOf(directory), { is: (text) => text === "hello\n" })
    expect(await isInhabited(directory)).toBe(true)
    if (script.endsWith("7")) expect(await waitForExit(directory, identity)).toBe(7)
    else {
      expect((await vmmIn(directory))?.pid).toBe(identity.pid)
      expect(await endStray(directory)).toBe(true)
      expect(await readExit(directory)).toBe(137)
    }
    expect(processesIn(directory)).toEqual([])
  }
})

test("no stray, nothing to end", async () => {
  expect(await endStray(mkdtempSync(join(root, "empty-")))).toBe(false)
})

test("what ran beside a VMM and does not end by itself is killed, and not a copy's (OVMS-API-531)", async () => {
  const directory = mkdtempSync(join(root, "vmm-"))
  const copy = mkdtempSync(join(root, "vmm-"))
  const helper = Bun.spawn(["sleep", "60"])
  noteHelper(directory, helper.pid, "network")
  cpSync(join(directory, "helpers"), join(copy, "helpers"))
  helper.kill("SIGSTOP")
  await endHelpers(copy)
  expect(helper.exitCode ?? helper.signalCode).toBe(null)
  writeFileSync(
    join(directory, "helpers"),
    `${readFileSync(join(directory, "helpers"), "utf8")}{"pid":-1}\nhalf`,
  )
  await endHelpers(directory)
  expect(await helper.exited).toBe(137)
  expect(existsSync(join(directory, "helpers"))).toBe(false)
})
