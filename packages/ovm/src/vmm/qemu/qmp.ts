import { type ErrorCode, OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { type Dialled, dialIn } from "../process/socket.ts"

/** QEMU's socket in the instance's directory. */
export const QMP_SOCKET = "qmp.sock"

export interface QmpEvent {
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
  /** QEMU's clock, in milliseconds. */
  readonly time?: number
}

/** A monitor connection (QEMU: docs/interop/qmp-spec.rst). A monitor serves one client at a time. */
export interface Qmp {
  /**
   * Runs a command and gives its `return` value. Throws OVM_VMM_FAILED with QEMU's words if it refuses or is gone,
   * OVM_VMM_TIMEOUT after `timeoutMs` (5,000 unless given).
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>, timeoutMs?: number): Promise<unknown>
  /** Calls `listener` with every event until the function that it returns is called. */
  subscribe(listener: (event: QmpEvent) => void): () => void
  /**
   * Settles when the monitor has greeted and takes commands; those that were sent before are answered after that.
   * Throws OVM_VMM_TIMEOUT if there is no greeting in time, as when another client holds the monitor.
   */
  readonly ready: Promise<void>
  /** Settles when the connection is closed, from either side; never rejects. */
  readonly closed: Promise<void>
  close(): void
}

const COMMAND_MS = 5000
/** QEMU's longest answers (query-qmp-schema) are about 200 KiB. */
const MAX_LINE = 4 << 20

interface Message {
  readonly QMP?: unknown
  readonly event?: unknown
  readonly data?: unknown
  readonly timestamp?: { readonly seconds?: unknown; readonly microseconds?: unknown }
  readonly id?: unknown
  readonly return?: unknown
  readonly error?: { readonly desc?: unknown }
}

interface QmpOptions {
  /** For the greeting. */
  readonly timeoutMs: number
  readonly onEvent?: (event: QmpEvent) => void
}

/**
 * Connects to the monitor in `directory` and negotiates. Undefined if nothing listens there (yet). Throws as `ready`
 * does.
 */
export async function connectQmp(directory: string, options: QmpOptions): Promise<Qmp | undefined> {
  const qmp = await dialQmp(directory, options)
  await qmp?.ready
  return qmp
}

/**
 * Connects without waiting for the greeting, which `ready` does. Commands may be sent before: a VMM that has just been
 * spawned answers them all at once when it is there.
 */
export async function dialQmp(
  directory: string,
  { timeoutMs: greetingMs, onEvent }: QmpOptions,
): Promise<Qmp | undefined> {
  const listeners = new Set<(event: QmpEvent) => void>()
  if (onEvent) listeners.add(onEvent)
  const waiting = new Map<number, (answer: Message | OvmError) => void>()
  let nextId = 0
  let ended: OvmError | undefined
  let socket: Dialled | undefined
  const greeting = Promise.withResolvers<void>()
  greeting.promise.catch(() => {})
  const closed = Promise.withResolvers<void>()

  const end = (reason: string, code: ErrorCode = "OVM_VMM_FAILED") => {
    if (ended) return
    ended = new OvmError(code, `QEMU's monitor in ${directory} ${reason}`)
    for (const settle of waiting.values()) settle(ended)
    waiting.clear()
    greeting.reject(ended)
    closed.resolve()
    socket?.destroy()
  }
  const receive = (line: string) => {
    const message = parse(line)
    if (!message) return end("sent something that is not QMP")
    if (message.QMP !== undefined) greeting.resolve()
    else if (typeof message.event === "string") {
      const event = eventOf(message.event, message)
      for (const listener of listeners) listener(event)
    } else if (typeof message.id === "number") waiting.get(message.id)?.(message)
  }
  socket = await dialIn(directory, QMP_SOCKET, {
    data: lines(receive, () => end(`sent a line above ${MAX_LINE} bytes`)),
    ended: () => end("closed the connection"),
  })
  if (!socket) return undefined
  if (ended) socket.destroy()

  const execute: Qmp["execute"] = async (command, args, timeoutMs = COMMAND_MS) => {
    if (ended) throw ended
    const id = nextId++
    const answer = await withTimeout(
      new Promise<Message | OvmError>((resolve) => {
        waiting.set(id, resolve)
        socket?.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`)
      }),
      timeoutMs,
      `QEMU did not answer ${command} within ${timeoutMs} ms`,
    ).finally(() => waiting.delete(id))
    if (answer instanceof OvmError) throw answer
    if (answer.error !== undefined)
      throw new OvmError("OVM_VMM_FAILED", `QEMU refused ${command}: ${String(answer.error?.desc)}`)
    return answer.return
  }

  const late = setTimeout(
    () => end(`sent no greeting within ${greetingMs} ms`, "OVM_VMM_TIMEOUT"),
    greetingMs,
  )
  const negotiate = async () => {
    const agreed = execute("qmp_capabilities", undefined, greetingMs)
    agreed.catch(() => {})
    await greeting.promise.finally(() => clearTimeout(late))
    await agreed.catch((error: OvmError) => {
      end("does not negotiate", error.code)
      throw error
    })
  }
  const ready = negotiate()
  ready.catch(() => {})
  const subscribe: Qmp["subscribe"] = (listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  return { execute, subscribe, ready, closed: closed.promise, close: () => end("was left by us") }
}

function eventOf(event: string, { data, timestamp }: Message): QmpEvent {
  const time = Number(timestamp?.seconds) * 1000 + Number(timestamp?.microseconds) / 1000
  return { event, data: isObject(data) ? data : {}, ...(Number.isNaN(time) ? {} : { time }) }
}

/** Passes on whole lines; `tooLong` is called for one that never ends. */
function lines(receive: (line: string) => void, tooLong: () => void): (text: string) => void {
  let rest = ""
  return (text) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) if (line.trim() !== "") receive(line)
    if (rest.length > MAX_LINE) tooLong()
  }
}

function parse(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function withTimeout<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new OvmError("OVM_VMM_TIMEOUT", message)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
