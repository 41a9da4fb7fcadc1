import { OvmError } from "../../errors.ts"
import type { Qmp } from "./qmp.ts"
import type { GuestWatch } from "./watch.ts"

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
