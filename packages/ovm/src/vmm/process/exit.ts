import { statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { OvmError } from "../../errors.ts"
import { openRegular, readRegularSync } from "../../files/regular.ts"
import { bootId } from "../../host/boot-id.ts"
import type { Exit, MachineRecord } from "../machine.ts"
import { removeGroups } from "./group-of-vmm.ts"
import { type Identity, isAlive } from "./identity.ts"
import { isInhabited } from "./stray.ts"
import { EXIT_FILE, STDERR_FILE } from "./traces.ts"

/** Bytes of the status, of which a keeper needs a dozen. */
const EXIT_LIMIT = 64
/** Bytes of the VMM's last words that go into messages. */
const MESSAGE_LIMIT = 2048
/** How long the keeper may take from the VMM's end to the exit file: it only has to write out what is in two pipes. */
const KEEPER_MS = 3000
/** From then on it is worth looking whether there still is a keeper. */
const SURELY_MS = 15
const WATCH_MS = 1000

/** `exit`: a status above 128 that is the VMM's own, and no signal's. */
const STATUS = /^(\d+)(?: *|( exit))\n$/

/** The status that the keeper left; undefined if there is none (yet). */
export async function readExit(directory: string): Promise<number | undefined> {
  const status = statusIn(directory)?.[1]
  return status === undefined ? undefined : Number(status)
}

/** Whether `status`, which the keeper of a VMM has left, is that of a signal that ended it. */
export function wasSignalled(directory: string, status: number): boolean {
  return status > 128 && statusIn(directory)?.[2] === undefined
}

/** What no keeper can have left, such as a folder, is none: it must not keep the instance from being removed. */
function statusIn(directory: string): RegExpExecArray | null {
  try {
    return STATUS.exec(Buffer.from(readRegularSync(join(directory, EXIT_FILE), EXIT_LIMIT)).toString())
  } catch (thrown) {
    const { code } = thrown as OvmError
    if (code === "OVM_FILE_UNREADABLE" || code === "OVM_TOO_LARGE") return null
    throw thrown
  }
}

/** When the keeper left it; undefined if there is none. */
export function exitedAt(directory: string): Date | undefined {
  return statSync(join(directory, EXIT_FILE), { throwIfNoEntry: false })?.mtime
}

/** The end of what the VMM said on standard error, bounded, without control characters. */
export async function readStderr(directory: string): Promise<string | undefined> {
  const file = await openRegular(join(directory, STDERR_FILE)).catch(() => undefined)
  if (!file) return undefined
  try {
    const { size } = await file.stat()
    const buffer = Buffer.alloc(Math.min(size, MESSAGE_LIMIT))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length)
    const words = buffer
      .toString("utf8", 0, bytesRead)
      .replace(/[^\P{C}\n]/gu, "")
      .trim()
    return words === "" ? undefined : words
  } finally {
    await file.close()
  }
}

export interface WaitOptions {
  /** Something that happens about when the process ends, and saves waiting for the next look. */
  readonly hint?: Promise<unknown>
  /** Between two looks before the hint, in ms: a second unless the hint is as good as certain. */
  readonly everyMs?: number
  /** Stop waiting. */
  readonly signal?: AbortSignal
}

/**
 * Waits until the process has ended and its keeper has written everything down; undefined if no status was left
 * (keeper killed, host restarted) or `signal` was aborted. Does not keep this process alive before the hint.
 */
export async function waitForExit(
  directory: string,
  identity: Identity,
  { hint, everyMs = WATCH_MS, signal }: WaitOptions = {},
): Promise<number | undefined> {
  let hinted = false
  let wake = () => {}
  const ring = () => wake()
  hint?.then(() => {
    hinted = true
    ring()
  })
  signal?.addEventListener("abort", ring)
  // Few machines end in any one second: looking at /proc once a second is cheaper than a watch a machine.
  for (let delay = 0.5; !signal?.aborted && (await isAlive(identity)); ) {
    // Hinted: it should be over any moment, but a connection may also break without that.
    if (hinted) delay = Math.min(delay * 2, WATCH_MS)
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      wake = resolve
      timer = setTimeout(resolve, hinted ? delay : everyMs)
      if (!hinted) timer.unref()
    })
    clearTimeout(timer)
  }
  const status = await keptStatus(directory, signal)
  // A keeper that was killed has left it.
  if (status === undefined && !signal?.aborted) removeGroups(directory)
  return status
}

/** What the keeper of a VMM that has ended leaves; undefined if that is nothing. */
async function keptStatus(directory: string, signal?: AbortSignal): Promise<number | undefined> {
  for (let pause = 1, waited = 0; waited < KEEPER_MS && !signal?.aborted; pause *= 2) {
    const status = await readExit(directory).catch(() => undefined)
    if (status !== undefined) return status
    // Nobody is left that could write one.
    if (waited >= SURELY_MS && !(await isInhabited(directory))) break
    await sleep(pause)
    waited += pause
  }
  return await readExit(directory).catch(() => undefined)
}

/** How a machine ended, and why as far as anybody knows. */
export async function exitOf(
  { directory, bootId: booted }: MachineRecord,
  status: number | undefined,
  reason = reasonOf(status),
): Promise<Exit> {
  const restarted = status === undefined && booted !== bootId()
  const message = restarted
    ? "the host has been restarted since"
    : await readStderr(directory).catch(() => undefined)
  return {
    ...(status === undefined ? {} : { status }),
    reason,
    ...(message === undefined ? {} : { message }),
  }
}

/** Without a word of the VMM, as when nobody watched, the status has to do, and without a status the word. */
export function reasonOf(status: number | undefined, told?: string): string {
  if (status === undefined) return told ?? "lost"
  if (status > 128) return "signal"
  return told ?? (status === 0 ? "ended" : "failed")
}
