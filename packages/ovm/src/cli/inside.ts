import { randomUUID } from "node:crypto"
import { execOutput } from "../api/client.ts"
import type { ExecEnd, ExecRequest, Runtime } from "../runtime/interfaces.ts"
import { onSignals } from "./interrupt.ts"
import { printBytes } from "./output.ts"
import { rawKeys } from "./terminal/raw.ts"
import { onResize, sizeNow } from "./terminal/window.ts"

/** The most that one request takes (spec/limits.md). */
const MOST = 32 << 10
const SIGINT = 2

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
  if (input && !terminal) void pass(type)
  const interrupt = (count: number) => {
    if (count > 1) left.abort()
    else runtime.execControl(id, attachment, { signal: SIGINT }).catch(() => {})
  }
  return await onSignals(interrupt, async () => {
    const pieces = execOutput(bytes)
    for (;;) {
      const next = await pieces.next()
      if (next.done) return next.value
      await printBytes(next.value.bytes, next.value.channel)
    }
  })
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

/** Standard input, as fast as the command takes it. */
async function pass(type: (bytes: Uint8Array, end?: boolean) => Promise<void>): Promise<void> {
  try {
    for await (const chunk of process.stdin as AsyncIterable<Uint8Array>)
      for (let at = 0; at < chunk.length; at += MOST) await type(chunk.subarray(at, at + MOST))
    await type(new Uint8Array(), true)
  } catch {
    // It has ended.
  }
}
