import { randomUUID } from "node:crypto"
import { constants } from "node:os"
import { execOutput } from "../api/client.ts"
import { toOvmError } from "../errors.ts"
import type { ExecEnd, ExecRequest, Runtime } from "../runtime/interfaces.ts"
import { onSignals } from "./interrupt.ts"
import { printBytes } from "./output.ts"
import { rawKeys } from "./terminal/raw.ts"
import { onResize, sizeNow } from "./terminal/window.ts"

/** The most that one request takes (spec/limits.md). */
const MOST = 32 << 10

export interface Inside {
  /** This process's standard input is the command's. */
  readonly input: boolean
  /** The command has a terminal of the size of this one. */
  readonly terminal: boolean
}

/**
 * Runs a command inside a machine, with its output and errors on ours, to its end. A signal is passed on to it, and the
 * second one ends it. Throws what Runtime.execStream does.
 */
export async function runInside(
  runtime: Runtime,
  id: string,
  request: ExecRequest,
  { input, terminal }: Inside,
): Promise<ExecEnd> {
  const attachment = randomUUID()
  const left = new AbortController()
  const { signal } = left
  const wanted = {
    ...request,
    ...(input && { interactive: true }),
    ...(terminal && { terminal: sizeNow() }),
  }
  const bytes = await runtime.execStream(id, wanted, { attachment, signal })
  const type = (bytes: Uint8Array, end = false) => runtime.execType(id, { attachment, bytes, end })
  using _keys = input && terminal ? rawKeys(inOrder(type), () => left.abort()) : nothing()
  using _size = terminal
    ? onResize(() => runtime.execControl(id, attachment, { terminal: sizeNow() }))
    : nothing()
  let unread: unknown
  if (input && !terminal)
    pass(type).catch((thrown) => {
      unread = toOvmError(Object.assign(thrown, { path: "standard input" }))
      left.abort()
    })
  const interrupt = (count: number, name: NodeJS.Signals) => {
    if (count > 1) left.abort()
    else runtime.execControl(id, attachment, { signal: constants.signals[name] }).catch(() => {})
  }
  return await onSignals(interrupt, () => printed(execOutput(bytes))).catch((thrown) => {
    throw unread ?? thrown
  })
}

/** What a command writes, on our output and errors, and how it ends. */
async function printed(pieces: ReturnType<typeof execOutput>): Promise<ExecEnd> {
  for (;;) {
    const next = await pieces.next()
    if (next.done) return next.value
    await printBytes(next.value.bytes, next.value.channel)
  }
}

function nothing(): Disposable {
  return { [Symbol.dispose]: () => {} }
}

/** Keys, one request after the other. Of a command that has ended the stream tells. */
function inOrder(type: (bytes: Uint8Array) => Promise<void>): (bytes: Uint8Array) => void {
  let before = Promise.resolve()
  return (bytes) => {
    before = before.then(() => type(bytes).catch(() => {}))
  }
}

/** Standard input, as fast as the command takes it, until that has ended. Throws if it cannot be read. */
async function pass(type: (bytes: Uint8Array, end?: boolean) => Promise<void>): Promise<void> {
  const isTaken = (bytes: Uint8Array, end?: boolean) =>
    type(bytes, end).then(
      () => true,
      () => false,
    )
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>)
    for (let at = 0; at < chunk.length; at += MOST)
      if (!(await isTaken(chunk.subarray(at, at + MOST)))) return
  await isTaken(new Uint8Array(), true)
}
