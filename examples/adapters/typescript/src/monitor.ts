import { closeSync, constants, existsSync, openSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Refused } from "./contract.ts"

const ANSWER_MS = 5000
/** How long a QEMU that was just started has: the runtime gives up before (OVMS-ADP-014). */
export const START_MS = 120_000
/** And how long one that refuses, since it has ended, or is about to listen. */
const REFUSES_MS = 5000

interface Message {
  readonly QMP?: object
  readonly event?: string
  readonly data?: Readonly<Record<string, unknown>>
  readonly id?: number
  readonly return?: unknown
  readonly error?: { readonly desc: string }
}

type OnEvent = (name: string, data: NonNullable<Message["data"]>) => void

/** A connection to QEMU's monitor (QMP). It takes one at a time. */
export class Monitor {
  readonly #answers = new Map<number, (message: Message) => void>()
  readonly #greeted = Promise.withResolvers<void>()
  #count = 0
  #rest = ""
  #isClosed = false

  private constructor(
    private readonly socket: Socket,
    private readonly onEvent: OnEvent,
    onEnd: () => void,
  ) {
    socket.setEncoding("utf8").on("data", (text) => this.#heard(String(text)))
    socket.on("error", () => {})
    this.#greeted.promise.catch(() => {})
    socket.once("close", () => {
      this.#isClosed = true
      this.#greeted.reject(new Refused("OVM_VMM_FAILED", "QEMU has closed its monitor"))
      for (const settle of this.#answers.values()) settle({ error: { desc: "QEMU has closed its monitor" } })
      onEnd()
    })
  }

  /** Waits up to `openMs` for the monitor in `directory`. */
  static async in(directory: string, openMs: number, onEvent: OnEvent, onEnd: () => void) {
    const began = performance.now()
    let refuses = Number.POSITIVE_INFINITY
    for (; performance.now() < Math.min(began + openMs, refuses); await sleep(1)) {
      const socket = await connectIn(directory, "monitor.sock")
      if (socket) {
        const monitor = new Monitor(socket, onEvent, onEnd)
        // Before it has greeted, QEMU may lose what it is asked.
        await within(monitor.#greeted.promise, "its greeting")
        await monitor.execute("qmp_capabilities")
        return monitor
      }
      if (existsSync(join(directory, "monitor.sock")))
        refuses = Math.min(refuses, performance.now() + REFUSES_MS)
      // So `ovm` says that it has.
      if (existsSync(join(directory, "exit"))) throw new Refused("OVM_VMM_FAILED", "QEMU has ended")
    }
    throw new Refused("OVM_VMM_FAILED", "QEMU does not open its monitor, or has ended")
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  async execute(command: string): Promise<unknown> {
    const id = ++this.#count
    const { promise, resolve } = Promise.withResolvers<Message>()
    this.#answers.set(id, resolve)
    this.socket.write(`${JSON.stringify({ execute: command, id })}\n`)
    const { error, return: answer } = await within(promise, command)
    if (error) throw new Refused("OVM_VMM_FAILED", error.desc)
    return answer
  }

  #heard(text: string): void {
    const lines = `${this.#rest}${text}`.split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) this.#take(JSON.parse(line) as Message)
  }

  #take(message: Message): void {
    if (message.QMP) this.#greeted.resolve()
    if (message.event !== undefined) this.onEvent(message.event, message.data ?? {})
    if (message.id === undefined) return
    this.#answers.get(message.id)?.(message)
    this.#answers.delete(message.id)
  }
}

async function within<T>(answer: Promise<T>, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Refused("OVM_VMM_TIMEOUT", `QEMU does not answer: ${what}`)),
    ANSWER_MS,
  )
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The path of a socket has 107 bytes at most: it is given through the folder's descriptor. */
async function connectIn(directory: string, name: string): Promise<Socket | undefined> {
  if (!existsSync(join(directory, name))) return undefined
  const folder = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const socket = connect({ path: `/proc/self/fd/${folder}/${name}` })
    return await new Promise((resolve) => {
      socket.once("connect", () => resolve(socket))
      socket.once("error", () => resolve(undefined))
    })
  } finally {
    closeSync(folder)
  }
}
