import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { openPorts } from "../../network/open-ports.ts"
import { rounded } from "../../rounded.ts"
import type { Loaded } from "../../vmm/loader.ts"
import { conflict } from "../conflict.ts"
import { planFromInstant } from "../from-instant.ts"
import type { Instance } from "../instance.ts"
import { sameNetwork } from "../network.ts"
import type { Planned } from "../plan.ts"
import { letGoOn, noteHeld, removeLeftovers } from "../scratch.ts"
import type { StartsContext } from "../starts-context.ts"
import { furtherTops } from "../written-disks.ts"

export type WakeContext = Pick<
  StartsContext,
  "images" | "vmms" | "limits" | "defaults" | "ending" | "onMachine" | "told"
>

/** How long the ports of a machine that has just been put aside may still be open. */
const CLOSING_MS = 3000

/**
 * Has a machine on standby go on (OVMS-STA-063). It is loaded and stands still; that is written down; and only then its
 * guest runs. Until it is written down it stays on standby after any failure. `atPorts` frees its ports. Throws what
 * planFromInstant, openPorts and Loader.load throw, and OVM_STATE_CONFLICT where it was stopped meanwhile.
 */
export async function goOnFromStandby(
  context: WakeContext,
  instance: Instance,
  atPorts: () => void,
): Promise<void> {
  const began = performance.now()
  const loaded = await loadedFor(context, instance, atPorts)
  await run(context, instance, { loaded, began })
}

/**
 * A machine that stands still, and is on record. Until then whoever has stopped the instance waits for the end of what
 * is loaded for it: nothing is started in its place meanwhile.
 */
async function loadedFor(context: WakeContext, instance: Instance, atPorts: () => void): Promise<Loaded> {
  const over = Promise.withResolvers<void>()
  instance.snapshotting = over.promise
  try {
    const planned = await planWake(context, instance, {})
    const loaded = await planned.load?.({})
    if (!loaded) throw new OvmError("OVM_INTERNAL", "a machine on standby cannot be loaded")
    try {
      atPorts()
      await openPorts(planned.plan.network?.forwards ?? [], { patienceMs: CLOSING_MS })
      await noteHeld(instance)
      // The last look: whoever stops it from here on finds its machine on record.
      if (instance.state !== "paused" || !instance.standby)
        throw conflict(instance, "was stopped while it was woken")
      liveOn(instance)
      await instance.rise(loaded.record)
      return loaded
    } catch (thrown) {
      await loaded.discard()
      await letGoOn(instance, false)
      throw thrown
    }
  } finally {
    instance.snapshotting = undefined
    over.resolve()
  }
}

async function planWake(
  { images, vmms, limits, defaults }: WakeContext,
  { id, directory, standby, lineage, info, request }: Instance,
  call: Call,
): Promise<Planned> {
  if (!standby || !lineage) throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is not on standby`)
  const { args: _, diskSize: __, config: ___, ssh: ____, ...overrides } = request?.overrides ?? {}
  const network = await sameNetwork(info.network ?? { mode: "none" }, overrides)
  const manifest = request?.manifest ?? info.image.reference
  const opened = await images.openAgain(manifest, lineage, { lease: id, ...call })
  try {
    const { top: overlay } = lineage
    const furtherOverlays = furtherTops(lineage)
    const console = { consoleLimit: limits.console, consoleGoesOn: true }
    const wanted = { id, directory, overrides, ...console, defaults, furtherOverlays }
    const instant = { ...standby, lineage }
    return await planFromInstant(
      { opened, request: { ...wanted, ...(overlay !== undefined && { overlay }) }, network, instant },
      { vmms },
      call,
    )
  } finally {
    await opened.close()
  }
}

/** It is the machine that it was: its agent sets the clock, and nothing of it is renewed that was its own. */
function liveOn(instance: Instance): void {
  const { info, lineage, resumed } = instance
  const renewed = info.agent?.renewed ?? (resumed ? undefined : new Date().toISOString())
  if (lineage) instance.lineage = { ...lineage, live: true }
  if (info.agent) instance.note({ agent: { ready: false, ...(renewed !== undefined && { renewed }) } })
}

/** It is on record as one that runs. What fails from here on ends it. */
async function run(
  { onMachine, ending, told }: WakeContext,
  instance: Instance,
  { loaded, began }: { readonly loaded: Loaded; readonly began: number },
): Promise<void> {
  try {
    const machine = await loaded.resume()
    const { spawn, load } = loaded.timings
    const { resume = 0 } = machine.timings
    const [total, phases] = [performance.now() - began, { spawn, load, resume }]
    const timings_ms = Object.fromEntries(
      Object.entries({ ...phases, total }).map(([phase, ms]) => [phase, rounded(ms)]),
    )
    if (instance.state === "paused") {
      await instance.become("running", { timings_ms }, { machine })
      told("running", instance, {})
    } else await instance.change({}, { machine })
    onMachine(instance)
    if (instance.state === "stopping") void ending.end(instance)
  } catch (thrown) {
    await instance.fail(toOvmError(thrown))
    told(instance.state, instance, { error: instance.info.error })
    throw thrown
  } finally {
    await letGoOn(instance, false)
    await removeLeftovers(instance.directory)
  }
}
