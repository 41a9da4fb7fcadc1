import { OvmError } from "../../errors.ts"
import { lastWords } from "../process/last-words.ts"
import type { Qmp } from "./qmp.ts"
import type { GuestWatch } from "./watch.ts"

/** From the end of QEMU's monitor to its own. */
const GONE_MS = 1000

interface Told {
  readonly status?: unknown
}

interface Drive {
  readonly "io-status"?: string
}

/** Asks QEMU what its guest does: for whoever was not there when it was told. Gives QEMU's own word. */
export async function lookAt(qmp: Qmp, watch: GuestWatch): Promise<string> {
  const { status } = (await qmp.execute("query-status")) as Told
  const drives = status === "io-error" ? ((await qmp.execute("query-block")) as readonly Drive[]) : []
  const trouble = drives.map((drive) => drive["io-status"]).find((one) => one !== "ok")
  watch.found(String(status), trouble)
  return String(status)
}

/** What carried its network may have left it while nobody was there to be told: only the monitor for people says so. */
export async function lookAtNetwork(qmp: Qmp, watch: GuestWatch): Promise<void> {
  const told = await qmp.execute("human-monitor-command", { "command-line": "info network" })
  if (/type=stream,\s*$/m.test(String(told))) watch.onEvent({ event: "NETDEV_STREAM_DISCONNECTED", data: {} })
}

/**
 * Lets the guest go on, and makes sure that it does: QEMU takes `cont` in states from which nothing follows, too, and
 * tells of every guest that runs before it answers. Throws OVM_VMM_FAILED, OVM_VMM_TIMEOUT.
 */
export async function letGo(qmp: Qmp, watch: GuestWatch, timeoutMs?: number): Promise<void> {
  const before = watch.runs
  await qmp.execute("cont", undefined, timeoutMs)
  if (watch.runs > before || watch.hopeless) return
  const status = await lookAt(qmp, watch)
  if (!watch.guest.running && !watch.hopeless)
    throw new OvmError("OVM_VMM_FAILED", `QEMU was told to let the guest run, and it is ${status}`)
}

/**
 * letGo of a guest that has not run yet, in `directory`. It may have ended before QEMU has answered, as a short one
 * does: QEMU 7.2 ends where a guest hands back its result, whatever it has still to say. QEMU that could not start has
 * not greeted.
 */
export async function letBegin(
  qmp: Qmp,
  watch: GuestWatch,
  { directory, timeoutMs }: { readonly directory: string; readonly timeoutMs?: number },
): Promise<void> {
  let isUp = false
  qmp.ready.then(
    () => {
      isUp = true
    },
    () => {},
  )
  try {
    await letGo(qmp, watch, timeoutMs)
  } catch (error) {
    if (!isUp || (await lastWords(directory, GONE_MS)) === undefined) throw error
  }
}
