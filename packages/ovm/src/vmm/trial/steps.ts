import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { refuseFatal } from "../fatal.ts"
import type { Machine } from "../machine.ts"
import type { LaunchPlan } from "../plan.ts"
import { openKeyboard } from "../process/keyboard.ts"
import type { Vmm } from "../vmm.ts"
import { OFF } from "./guest.ts"
import type { TrialPlace } from "./place.ts"
import { saidBy, ticksIn, waitToSay } from "./watcher.ts"

const MiB = 2 ** 20
/** What is typed, which the guest never says by itself. */
const TYPED = "!"
/** What is on its way to the console when a guest is paused comes through; then nothing comes for as long. */
const [SETTLE_MS, STILL_MS] = [200, 400]
const GRACE_MS = 20_000
const END_MS = 15_000

/** A VMM on trial: what its steps share. */
export interface OnTrial {
  readonly vmm: Vmm
  readonly place: TrialPlace
  readonly plan: LaunchPlan
  readonly signal?: AbortSignal
  machine?: Machine
  /** The guest did not hear its power button, so that the VMM was ended. */
  deaf?: true
}

/** What a step says that is left out. */
export class LeftOut extends Error {}

export interface TrialStep {
  readonly name: string
  /** Throws what is wrong, LeftOut where the VMM offers no such thing. */
  run(on: OnTrial): Promise<void>
}

/** A machine of `vmm` that boots `kernel` and nothing else. */
export function trialPlan(directory: string, kernel: string): LaunchPlan {
  return {
    id: "trial",
    directory,
    resources: { vcpus: 1, memory: 64 * MiB },
    kernel: { path: kernel, args: "" },
    devices: [],
    consoleLimit: MiB,
  }
}

/** In order; each goes on with the machine as the last one has left it. */
export const STEPS: readonly TrialStep[] = [
  { name: "installed", run: async ({ vmm }) => void (await vmm.capabilities()) },
  { name: "check", run: async ({ vmm, plan }) => refuseFatal(await vmm.check(plan)) },
  { name: "launch", run: launch },
  { name: "console", run: async (on) => void (await counts(on, running(on), 3)) },
  { name: "typing", run: typing },
  { name: "pause", run: pause },
  { name: "resume", run: resume },
  { name: "taken over", run: takeOver },
  { name: "snapshot", run: snapshot },
  { name: "stop", run: stop },
  { name: "end", run: end },
]

function running({ machine }: OnTrial): Machine {
  if (machine) return machine
  throw new Error("there is no machine")
}

async function launch(on: OnTrial): Promise<void> {
  const { vmm, plan, signal } = on
  on.machine = await vmm.launch(plan, signal && { signal })
  expectGuest(on.machine, true)
}

/** The guest counts on by `more`, and leaves no number out. */
async function counts({ signal }: OnTrial, machine: Machine, more: number): Promise<readonly number[]> {
  const before = ticksIn(await saidBy(machine)).at(-1) ?? 0
  const enough = (text: string) => (ticksIn(text).at(-1) ?? 0) >= before + more
  const ticks = ticksIn(await waitToSay(machine, `the guest's count beyond ${before}`, enough, signal))
  const wrong = ticks.findIndex((tick, index) => tick !== (ticks[0] ?? 0) + index)
  if (wrong >= 0) throw failed(`the guest's count goes from ${ticks[wrong - 1]} to ${ticks[wrong]}`)
  return ticks
}

async function typing(on: OnTrial): Promise<void> {
  const machine = running(on)
  const keyboard = await openKeyboard(machine.record.directory)
  try {
    await keyboard.write(Buffer.from(TYPED), on.signal)
    await waitToSay(machine, "what was typed", (text) => text.includes(TYPED), on.signal)
  } finally {
    keyboard.close()
  }
}

async function pause(on: OnTrial): Promise<void> {
  const machine = running(on)
  await machine.pause()
  expectGuest(machine, false)
  await sleep(SETTLE_MS, undefined, { signal: on.signal })
  const before = await saidBy(machine)
  await sleep(STILL_MS, undefined, { signal: on.signal })
  const after = await saidBy(machine)
  if (after !== before) throw failed("the guest goes on while it is paused")
}

async function resume(on: OnTrial): Promise<void> {
  const machine = running(on)
  await machine.resume()
  expectGuest(machine, true)
  await counts(on, machine, 2)
}

async function takeOver(on: OnTrial): Promise<void> {
  const { record } = running(on)
  running(on).detach()
  const machine = await on.vmm.adopt(record)
  on.machine = machine
  expectGuest(machine, true)
  await counts(on, machine, 2)
}

async function snapshot(on: OnTrial): Promise<void> {
  const { vmm, plan, place, signal } = on
  const machine = running(on)
  if (!vmm.loader || !machine.snapshot) throw new LeftOut("it takes no snapshots")
  const call = signal && { signal }
  const before = ticksIn(await saidBy(machine)).at(-1) ?? 0
  const { origin, boot } = await machine.snapshot(
    { ram: place.path("ram"), state: place.path("state") },
    call,
  )
  await counts(on, machine, 2)
  const { kernel, ...rest } = plan
  const booting = boot && kernel ? { kernel } : {}
  const directory = place.machine("clone")
  const loaded = await vmm.loader.load({ ...rest, ...booting, directory, origin }, call)
  const clone = await loaded.resume()
  try {
    const ticks = ticksIn(
      await waitToSay(clone, "a word of the clone", (text) => ticksIn(text).length > 1, signal),
    )
    if ((ticks[0] ?? 0) <= before)
      throw failed(`the clone counts from ${ticks[0]}, and ${before} was before the snapshot`)
  } finally {
    await clone.stop({ graceMs: 0 })
  }
}

async function stop(on: OnTrial): Promise<void> {
  const machine = running(on)
  const how = await machine.stop({ graceMs: GRACE_MS, ...(on.signal && { signal: on.signal }) })
  if (how === "guest") return
  if (how !== "ended") throw failed(`the machine was ${how === "killed" ? "killed" : "gone already"}`)
  on.deaf = true
  throw new LeftOut(`the guest heard no power button within ${GRACE_MS / 1000} s, and the VMM was ended`)
}

async function end(on: OnTrial): Promise<void> {
  const machine = running(on)
  const late = sleep(END_MS, undefined, { ref: false })
  const exit = await Promise.race([machine.exited, late])
  if (!exit) throw failed(`the VMM has not ended ${END_MS / 1000} s after its stop`)
  const expected = on.deaf ? ["quit"] : ["guest-shutdown", "guest-reset"]
  if (!expected.includes(exit.reason)) throw failed(`it is said to have ended by ${exit.reason}`)
  if (!on.deaf && !(await saidBy(machine)).includes(OFF)) throw failed("the guest's last words are missing")
}

function expectGuest({ guest }: Machine, runs: boolean): void {
  if (guest.running !== runs) throw failed(`the guest is said to ${guest.running ? "run" : "stand still"}`)
}

function failed(message: string): OvmError {
  return new OvmError("OVM_VMM_FAILED", message)
}
