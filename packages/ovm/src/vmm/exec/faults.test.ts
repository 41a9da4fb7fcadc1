import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import type { LaunchPlan } from "../plan.ts"
import { Adapter } from "./adapter.ts"
import { outside } from "./index.ts"

// Adapters that do not keep to the contract, each a program of some lines of Python.
setDefaultTimeout(120_000)

const missing = Bun.which("python3") ? "" : "(skipped: python3 is not installed)"
const CAPABILITIES = {
  version: "1.0",
  binary: "/bin/sleep",
  accelerator: "none",
  acceleratorReason: "it executes nothing",
  accelerators: ["none"],
}
const HELLO = (name: string) => ({ adapter: name, contract: 1, version: "1" })

let root: string
const before = process.env.PATH
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ovm-adapters-"))
  process.env.PATH = `${root}:${before}`
})
afterAll(() => {
  process.env.PATH = before
  rmSync(root, { recursive: true })
})

/** An adapter that says `hello` first and answers every verb as the table has it; `body` in place of all that. */
function adapter(
  name: string,
  answers: Record<string, unknown>,
  { hello = HELLO(name), body = "" } = {},
): void {
  const program = `#!/usr/bin/env python3
import json, sys, time, os
def say(line): print(line if isinstance(line, str) else json.dumps(line), flush=True)
answers = json.loads(${JSON.stringify(JSON.stringify(answers))})
${
  body ||
  `say(json.loads(${JSON.stringify(JSON.stringify(hello))}))
for line in sys.stdin:
    request = json.loads(line)
    answer = answers.get(request["verb"], {"result": {}})
    if answer == "exit": sys.exit("gone")
    if answer == "hang": time.sleep(1000)
    if answer == "flood": say("x" * (1 << 21))
    if answer == "garbage": say("Traceback (most recent call last):")
    if answer == "twice": say({"id": request["id"], "result": {}})
    if answer == "chatter":
        for n in range(20000): say({"event": "guest", "directory": "/nobody", "running": bool(n % 2)})
    if answer == "other": say({"id": 99, "result": {}})
    say({"id": request["id"], **(answer if isinstance(answer, dict) else {"result": {}})})
`
}`
  const path = join(root, `ovm-vmm-${name}`)
  writeFileSync(`${path}.new`, program, { mode: 0o755 })
  renameSync(`${path}.new`, path)
}

let count = 0
function plan(): LaunchPlan {
  const directory = join(root, `machine-${count++}`)
  mkdirSync(directory)
  const kernel = { path: process.execPath, args: "" }
  return {
    id: "x",
    directory,
    resources: { vcpus: 1, memory: 1 << 25 },
    kernel,
    devices: [],
    consoleLimit: 4096,
  }
}

const GOOD = { capabilities: { result: CAPABILITIES }, check: { result: { findings: [] } } }
const SLEEP = { prepare: { result: { argv: ["/bin/sleep", "1000"] } } }

describe.skipIf(missing !== "")(`adapters that do not keep to the contract ${missing}`, () => {
  // OVMS-ADP-010
  test.each([
    ["another name", { adapter: "qemu", contract: 1, version: "1" }, 'it says that it is "qemu"'],
    ["another contract", { adapter: "hello", contract: 2, version: "1" }, "it speaks contract 2"],
    ["no version", { adapter: "hello", contract: 1 }, "does not say its version"],
  ])("%s at the beginning", async (_, hello, why) => {
    adapter("hello", GOOD, { hello: hello as ReturnType<typeof HELLO> })
    const error = await refusal(outside("hello").capabilities())
    expect([error.code, error.message]).toEqual(["OVM_VMM_FAILED", expect.stringContaining(why)])
    expect(error.message).toContain(join(root, "ovm-vmm-hello"))
  })

  // OVMS-ADP-013
  test.each([
    ["exit", "it ended with status 1: gone"],
    ["flood", "a line of more than 1048576 bytes"],
    ["garbage", 'no JSON object: "Traceback'],
    ["other", "it answered what was not asked"],
    [{ result: 1 }, "neither a result nor an error"],
    [{ result: CAPABILITIES, error: null }, "with no one of result and error"],
    [{ error: { code: "E_BAD", message: "x" } }, "no code of the list"],
    [{ result: { version: "1" } }, "answered capabilities with what the contract does not have"],
    [{ result: { ...CAPABILITIES, accelerators: [1] } }, "answered capabilities with what"],
  ])("%j as an answer fails what was asked, and the next one is another adapter's", async (answer, why) => {
    adapter("bad", { capabilities: answer })
    const vmm = outside("bad")
    const error = await refusal(vmm.capabilities())
    expect([error.code, error.message]).toEqual(["OVM_VMM_FAILED", expect.stringContaining(why)])
    adapter("bad", GOOD)
    expect(await vmm.capabilities()).toMatchObject({ name: "bad", accelerator: "none" })
  })

  // OVMS-ADP-011, OVMS-ADP-013
  test("an error of the list is passed on; a second answer ends the adapter", async () => {
    adapter("tells", { ...GOOD, capabilities: { error: { code: "OVM_VMM_MISSING", message: "no engine" } } })
    const error = await refusal(outside("tells").capabilities())
    expect([error.code, error.message]).toEqual(["OVM_VMM_MISSING", "tells: no engine"])
    adapter("twice", { ...GOOD, check: "twice" })
    const vmm = outside("twice")
    await vmm.check(plan()).catch(() => {})
    // What is asked before the second answer comes fails with it; then there is an adapter that answers.
    const ask = () => vmm.capabilities().catch(({ code }) => expect(code).toBe("OVM_VMM_FAILED"))
    expect(await until("it answers", ask)).toMatchObject({ name: "twice" })
  })

  // OVMS-ADP-063
  test("what is longer than an adapter has to take is not sent, and changes nothing about it", async () => {
    adapter("takes", GOOD)
    const vmm = outside("takes")
    const { kernel, ...large } = plan()
    const path = kernel?.path ?? ""
    const error = await refusal(vmm.check({ ...large, kernel: { path, args: "x".repeat(1 << 20) } }))
    expect([error.code, error.message]).toEqual(["OVM_TOO_LARGE", expect.stringContaining("check")])
    expect(await vmm.check({ ...large, kernel: { path, args: "x".repeat(1_000_000) } })).toEqual([])
  })

  // OVMS-ADP-014
  test("one that hangs is ended, and so is one that says nothing at first", async () => {
    adapter("hangs", { capabilities: "hang" })
    adapter("silent", {}, { body: "time.sleep(1000)" })
    const [one, other] = await Promise.all([
      refusal(outside("hangs").capabilities()),
      refusal(outside("silent").capabilities()),
    ])
    for (const error of [one, other])
      expect([error.code, error.message]).toEqual(["OVM_VMM_TIMEOUT", expect.stringContaining("within 10 s")])
    // Who is killed may take a moment to go.
    const left = () => Bun.spawnSync(["pgrep", "-f", join(root, "ovm-vmm-(hangs|silent)")]).stdout.toString()
    await until("both have gone", left, { is: (pids) => pids === "" })
  })

  test("none on PATH is OVM_VMM_MISSING, and no folder that is not absolute is looked into", async () => {
    const error = await refusal(outside("nowhere").capabilities())
    expect([error.code, error.message]).toEqual([
      "OVM_VMM_MISSING",
      expect.stringContaining("ovm-vmm-nowhere"),
    ])
  })

  // OVMS-ADP-032, OVMS-ADP-034
  test.each([
    ["prepare", { result: { argv: [] } }, "OVM_VMM_FAILED", "answered prepare"],
    ["prepare", { result: { argv: ["sleep"] } }, "OVM_VMM_FAILED", "answered prepare"],
    ["prepare", { result: { argv: ["/bin/sleep", 1] } }, "OVM_VMM_FAILED", "answered prepare"],
    [
      "prepare",
      { result: { argv: ["/bin/sleep", "1000"], agent: "../x" } },
      "OVM_VMM_FAILED",
      "answered prepare",
    ],
    ["prepare", "exit", "OVM_VMM_FAILED", "it ended with status 1: gone"],
    ["start", "exit", "OVM_VMM_FAILED", "it ended with status 1: gone"],
    ["start", { error: { code: "OVM_NO_SPACE", message: "full" } }, "OVM_NO_SPACE", "full"],
    ["watch", "garbage", "OVM_VMM_FAILED", "no JSON object"],
    [
      "check",
      { result: { findings: [{ pointer: "/x", severity: "fatal", reason: "no" }] } },
      "OVM_UNSUPPORTED",
      "/x: no",
    ],
    ["check", { result: { findings: "none" } }, "OVM_VMM_FAILED", "answered check"],
  ])("%s that answers %j fails the launch, and leaves no process", async (verb, answer, code, why) => {
    adapter("half", { ...GOOD, ...SLEEP, [verb]: answer })
    const wanted = { ...plan(), disk: { layers: [], size: 1 << 20, writable: false } }
    const { kernel: _, ...diskOnly } = wanted
    const error = await refusal(outside("half").launch(diskOnly))
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(why)])
    expect(processesIn(wanted.directory)).toEqual([])
  })

  const TRUE = { prepare: { result: { argv: ["/bin/true"] } } }
  const LEFT = { error: { code: "OVM_VMM_FAILED", message: "it has gone" } }

  // OVMS-ADP-061, OVMS-ADP-062
  test.each([
    [
      "one that is asked for it afterwards, and has no machine any more",
      { start: { result: {} }, watch: LEFT },
    ],
    ["one that says so at once", { start: { result: { running: true } }, watch: LEFT }],
    ["one that takes what has ended for what runs", { start: { result: { running: true } }, ended: "exit" }],
  ])(
    "a guest that has ended as soon as it ran has ended, and its start has not failed: %s",
    async (_, says) => {
      adapter("short", { ...GOOD, ...TRUE, ...says })
      const { kernel: _kernel, ...diskOnly } = plan()
      const machine = await outside("short").launch(diskOnly)
      expect(await machine.exited).toMatchObject({ status: 0, reason: "ended" })
      expect(await machine.stop()).toBe("already")
      expect(processesIn(diskOnly.directory)).toEqual([])
    },
  )

  test("one that tells of machines that it has not is not believed, and answers all the same", async () => {
    adapter("chatty", {
      ...GOOD,
      ...SLEEP,
      start: { result: { running: true } },
      pause: "chatter",
      quit: LEFT,
    })
    const { kernel: _kernel, ...diskOnly } = plan()
    const machine = await outside("chatty").launch(diskOnly)
    const heard: boolean[] = []
    machine.onGuest(() => heard.push(machine.guest.running))
    await machine.pause()
    expect(heard).toEqual([false])
    expect(await machine.stop({ graceMs: 0 })).toBe("killed")
  })

  test("what the contract has no word for is not passed over", async () => {
    adapter("plain", { ...GOOD, ...SLEEP })
    const served = { socket: "/x", export: "y", format: "raw" as const }
    const findings = await outside("plain").check({
      ...plan(),
      disk: { layers: [served], size: 1 << 20, writable: false },
    })
    expect(findings).toMatchObject([{ pointer: "/diskLayers", severity: "fatal" }])
  })

  // OVMS-ADP-015, OVMS-ADP-021
  test("an adapter whose program is replaced, or that is killed, is another one from then on", async () => {
    const told = (version: string) => ({ capabilities: { result: { ...CAPABILITIES, version } } })
    adapter("new", told("1.0"))
    const subject = new Adapter("new")
    expect(await subject.ask("capabilities")).toMatchObject({ version: "1.0" })
    adapter("new", told("2.0"))
    expect(await subject.ask("capabilities")).toMatchObject({ version: "2.0" })
    const all = await Promise.all(Array.from({ length: 20 }, () => subject.ask("capabilities")))
    expect(all).toHaveLength(20)
  })
})
