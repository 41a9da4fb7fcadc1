import { OvmError } from "../../errors.ts"
import { syncDirectory, syncFile } from "../../files/sync.ts"
import { endStray } from "../../vmm/process/stray.ts"
import type { Instance } from "../instance.ts"
import { takable, takeInstant } from "../instant.ts"
import { letGoOn, removeScratch, sinkOf } from "../scratch.ts"
import { isUp } from "../states.ts"
import { refuseSuspended } from "../suspended.ts"

/**
 * Puts a machine aside (OVMS-STA-061): its guest stands still, RAM and device state come into files, that is written
 * down, and only then its process is ended. Until it is written down the guest goes on after any failure, also of this
 * process. Throws what takeInstant throws, and OVM_STATE_CONFLICT where somebody has talked to it meanwhile, also by a
 * port, as `connected` says: what carries that connection would end with the process.
 */
export async function putAside(instance: Instance, connected: () => Promise<boolean>): Promise<void> {
  const { directory, removed } = instance
  const began = performance.now()
  const found = takable(instance)
  const over = Promise.withResolvers<void>()
  instance.snapshotting = over.promise
  const { ram, state } = sinkOf(instance, found.lineage)
  try {
    await refuseSuspended(instance)
    const call = { signal: removed.signal, held: true }
    const { parts } = await takeInstant(instance, found, { ram, state, last: true }, call)
    for (const path of [ram, state]) await syncFile(path)
    await syncDirectory(directory)
    if (await connected()) instance.talkedAt = performance.now()
    assertIdle(instance, began)
    const { origin, boot, generationId } = parts
    // What carries its network has its ports until it ends.
    instance.watched = false
    await instance.rest({
      origin,
      ...(boot && { boot }),
      ...(generationId !== undefined && { generationId }),
    })
    // What it comes back with is made anew.
    instance.degraded.clear()
    await letGoOn(instance, false)
    await endStray(directory)
  } finally {
    if (!instance.standby) {
      await letGoOn(instance)
      await removeScratch(instance)
    }
    instance.snapshotting = undefined
    over.resolve()
  }
}

function assertIdle({ id, state, talkedAt }: Instance, since: number): void {
  if (talkedAt <= since && isUp(state)) return
  throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} was wanted while it was put aside`)
}

/** What an earlier daemon has put aside: what is left of its process has not run since. */
export async function settleStandby(instance: Instance): Promise<void> {
  await endStray(instance.directory)
  await letGoOn(instance, false)
}
