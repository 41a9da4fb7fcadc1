import { randomUUID } from "node:crypto"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { Keys } from "./keys.ts"
import { printBytes, printError } from "./output.ts"
import { rawKeys } from "./terminal/raw.ts"
import { onResize, sizeNow } from "./terminal/window.ts"

/** The most that one request takes (spec/limits.md). */
const MOST = 32 << 10
/** What waits for a guest that does not read; more than a person types. */
const PATIENCE = 1 << 20

/**
 * This terminal's keyboard, from when it is taken, or given to a machine, until it is released: then the terminal is as
 * it was. What is typed while it is nobody's is dropped, but for what is meant for this program.
 */
export class TerminalKeys implements Disposable {
  readonly #keys: Keys
  #typed: Typed | undefined
  #raw: Disposable | undefined

  constructor(
    /** Aborted by who wants to leave the machine running, as Ctrl-P Ctrl-Q does. */
    readonly left: AbortController,
    /** Somebody wants the machine to end, and the next time more so. */
    stop: () => void,
  ) {
    this.#keys = new Keys({ send: (bytes) => this.#typed?.add(bytes), detach: () => left.abort(), stop })
  }

  /** Gives it to whom `send` leads, until what is returned is disposed of: it is nobody's then. */
  give(send: (bytes: Uint8Array) => Promise<void>): Disposable {
    const typed = new Typed(send)
    this.#typed = typed
    this.take()
    return {
      [Symbol.dispose]: () => {
        if (this.#typed === typed) this.#typed = undefined
      },
    }
  }

  /** Keys are this program's from now on, and nobody else's until it is given to somebody. */
  take(): void {
    this.#raw ??= rawKeys(
      (bytes) => this.#keys.press(bytes),
      () => this.left.abort(),
    )
  }

  /** The terminal is as it was, until it is given or taken again. */
  release(): void {
    this.#raw?.[Symbol.dispose]()
    this.#raw = undefined
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/**
 * Joins this terminal and a machine's console until that ends, or until the keyboard's `left` is aborted. `tail`: lines
 * of what there was before; all of it unless given. Throws what attaching throws.
 */
export async function attachTerminal(
  runtime: Runtime,
  { instance_id, name }: InstanceInfo,
  keyboard: TerminalKeys,
  tail?: number,
): Promise<void> {
  const { signal } = keyboard.left
  const attachment = randomUUID()
  const console = await runtime.attach(instance_id, {
    attachment,
    signal,
    ...(tail !== undefined && { tail }),
  })
  printError(`Attached to ${name}: Ctrl-P Ctrl-Q detaches and leaves it running, Ctrl-C twice stops it.\n`)
  using _ = keyboard.give((bytes) => runtime.type(instance_id, { attachment, bytes, signal }))
  const tellSize = async () => {
    const window = sizeNow()
    if (window.rows > 0 && window.columns > 0)
      await runtime.type(instance_id, { attachment, bytes: new Uint8Array(), window, signal })
  }
  using _size = onResize(tellSize)
  // A daemon of before does not know of sizes, and a guest without an agent hears of none.
  tellSize().catch(() => {})
  try {
    for await (const bytes of console) await printBytes(bytes)
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  }
}

/** What a person leaves behind who detached. */
export function tellDetached(name: string): void {
  printError(`\nDetached from ${name}, which goes on running: ovm attach ${name}\n`)
}

/** Keys on their way: one request at a time, with all that came meanwhile in the next. */
class Typed {
  #waiting: Uint8Array[] = []
  #size = 0
  #sending = false

  constructor(private readonly send: (bytes: Uint8Array) => Promise<void>) {}

  add(bytes: Uint8Array): void {
    if (this.#size > PATIENCE) return
    this.#waiting.push(bytes)
    this.#size += bytes.length
    if (!this.#sending) void this.#sendAll()
  }

  async #sendAll(): Promise<void> {
    this.#sending = true
    while (this.#size > 0) {
      const all = Buffer.concat(this.#waiting)
      this.#waiting = all.length > MOST ? [all.subarray(MOST)] : []
      this.#size = Math.max(0, all.length - MOST)
      // Of a machine that has ended, and a daemon that has gone, the console tells.
      await this.send(all.subarray(0, MOST)).catch(() => {})
    }
    this.#sending = false
  }
}
