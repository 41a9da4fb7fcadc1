import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../../content/interfaces.ts"
import { OvmError } from "../../../errors.ts"
import type { Qmp } from "../qmp.ts"

/** How long QEMU may take to put a migration away that has ended. */
const PUT_AWAY_MS = 10_000
const LOOK_MS = 5

/** In case an event is lost. */
const LOOK_AGAIN_MS = 50

/** States in which nothing is under way (qapi/migration.json, MigrationStatus). */
export const IDLE: ReadonlySet<string> = new Set(["none", "completed", "failed", "cancelled"])

/** The state of QEMU's last migration, "none" if there was none, with QEMU's reason if it failed. */
export async function migrationStatus(qmp: Qmp): Promise<{ status: string; reason: string | undefined }> {
  const told = (await qmp.execute("query-migrate")) as {
    readonly status?: unknown
    readonly "error-desc"?: unknown
  }
  const reason = told["error-desc"]
  return {
    status: typeof told.status === "string" ? told.status : "none",
    reason: typeof reason === "string" ? reason : undefined,
  }
}

/**
 * Returns once QEMU would begin another migration: it says of the last one that it has ended, and QEMU 10 puts it away
 * somewhat later. Throws OVM_VMM_TIMEOUT.
 */
export async function migrationPutAway(qmp: Qmp): Promise<void> {
  for (const deadline = performance.now() + PUT_AWAY_MS; ; await sleep(LOOK_MS)) {
    const known = (await qmp.execute("query-yank")) as readonly { readonly type?: unknown }[]
    if (!known.some(({ type }) => type === "migration")) return
    if (performance.now() > deadline)
      throw new OvmError(
        "OVM_VMM_TIMEOUT",
        `QEMU has not put its last migration away within ${PUT_AWAY_MS} ms`,
      )
  }
}

export interface MigrationWait extends Call {
  readonly timeoutMs: number
  /** Ends the wait when it fails. */
  readonly unless?: Promise<unknown>
  /** It has just begun: its events are still to come, and QEMU is not to be asked at once. */
  readonly begun?: boolean
}

/**
 * Waits until the migration is in one of `states`. Throws OVM_VMM_FAILED with QEMU's words if it ends in another way,
 * OVM_VMM_TIMEOUT, OVM_INTERRUPTED, or what `unless` throws.
 */
export async function waitForMigration(
  qmp: Qmp,
  states: readonly string[],
  { timeoutMs, unless, signal, begun = false }: MigrationWait,
): Promise<string> {
  const deadline = performance.now() + timeoutMs
  let failed: unknown
  let ring = () => {}
  const rings = () =>
    new Promise<void>((resolve) => {
      ring = resolve
    })
  const pause = async (rung: Promise<void>) => {
    const timer = setTimeout(ring, LOOK_AGAIN_MS)
    await rung
    clearTimeout(timer)
  }
  const fail = (error: unknown) => {
    failed ??= error
    ring()
  }
  const interrupt = () => fail(new OvmError("OVM_INTERRUPTED", "the migration was interrupted"))
  signal?.addEventListener("abort", interrupt)
  unless?.catch(fail)
  /** The state that the last event told, until it was looked at. */
  let told: unknown
  const unsubscribe = qmp.subscribe(({ event, data }) => {
    if (event !== "MIGRATION") return
    told = data.status
    ring()
  })
  try {
    if (begun) await pause(rings())
    for (;;) {
      if (signal?.aborted) interrupt()
      const rung = rings()
      const wanted = states.find((state) => state === told)
      told = undefined
      const { status, reason } = wanted ? { status: wanted, reason: undefined } : await migrationStatus(qmp)
      // A receiver that gave up is the reason why QEMU failed.
      if (failed !== undefined) throw failed
      if (states.includes(status)) return status
      if (IDLE.has(status) && status !== "none")
        throw new OvmError("OVM_VMM_FAILED", `QEMU's migration has ${status}: ${reason ?? "no reason given"}`)
      if (performance.now() > deadline)
        throw new OvmError("OVM_VMM_TIMEOUT", `QEMU's migration is still ${status} after ${timeoutMs} ms`)
      await pause(rung)
    }
  } finally {
    unsubscribe()
    signal?.removeEventListener("abort", interrupt)
  }
}
