import { expect, test } from "bun:test"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { killMarked, MARK } from "../src/subject/leftovers.ts"
import { pids, textOf } from "../src/subject/processes.ts"
import { loadSuite } from "../src/suite.ts"
import { Bed, OVM, PROGRAM, WRAPPER } from "./bed.ts"

test("no check is there twice", async () => {
  const all: readonly (readonly { readonly name: string }[])[] = Object.values(await loadSuite())
  for (const checks of all) {
    const names = checks.map(({ name }) => name)
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([])
  }
})

test("a process with the mark is killed wherever it went, and no other", async () => {
  await using bed = await Bed.create()
  const mark = `test-${process.pid}`
  const script = await bed.script("wait", "exec sleep 60")
  const marked = spawn("setsid", [script], { env: { ...process.env, [MARK]: mark }, stdio: "ignore" })
  const other = spawn(script, [], { env: { ...process.env, [MARK]: `${mark}0` }, stdio: "ignore" })
  await Promise.all([once(marked, "spawn"), once(other, "spawn")])
  let killed = 0
  for (let tries = 0; killed === 0 && tries < 100; tries++) killed = killMarked(mark)
  expect(killed).toBe(1)
  expect(other.exitCode).toBeNull()
  other.kill("SIGKILL")
})

test("a suite that is interrupted more than once leaves nothing", async () => {
  await using bed = await Bed.create()
  const env = { ...process.env, OVM, TMPDIR: bed.folder }
  const args = [PROGRAM, "runtime", "--start", join(WRAPPER, "../ovm-runtime"), "--only", "runtime/bounds"]
  const child = spawn("node", args, { env, stdio: "ignore" })
  const ended = once(child, "exit")
  const begun = () =>
    pids().filter((pid) => pid !== child.pid && textOf(pid, "environ").includes(`HOME=${bed.folder}/`))
  await until("there is a runtime", begun, { is: (found) => found.length > 0 })
  for (const signal of ["SIGINT", "SIGTERM", "SIGINT"] as const) {
    child.kill(signal)
    await Bun.sleep(10)
  }
  expect((await ended)[0]).toBe(2)
  expect(begun()).toEqual([])
  expect(await readdir(bed.folder)).toEqual([])
}, 120_000)
