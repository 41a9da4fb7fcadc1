import { readSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { FILTER_SOCKET } from "../../network/filter.ts"
import { dialIn } from "./socket.ts"

/** The filter answers within a millisecond, or seconds on a host that is far too busy. */
const ANSWER_MS = 5000
const LOOK_MS = 1
/** The last line of an answer that is whole, and good. */
const GOOD = "ok"

/**
 * The lines that the filter of the machine in `directory` answers a request with (packages/filter/src/asks.c), up to
 * the last one, which is `ok` or why not; undefined where it is not there any more. Throws OVM_HOST_FAILED where it
 * does not answer.
 */
export async function askFilter(directory: string, request: string): Promise<readonly string[] | undefined> {
  let said = ""
  const asked = await dialled(directory, request, (text) => {
    said += text
  })
  if (!asked) return undefined
  const timer = setTimeout(asked.leave, ANSWER_MS)
  await asked.over
  clearTimeout(timer)
  if (!said.endsWith("\n")) throw unanswered(request)
  return said.trimEnd().split("\n")
}

/**
 * Asks it to tell when an added port ends. Returns once it has heard that, with what settles by then, or with `signal`;
 * undefined as askFilter.
 */
export async function watchFilter(
  directory: string,
  signal: AbortSignal,
): Promise<{ readonly over: Promise<void> } | undefined> {
  const heard = Promise.withResolvers<void>()
  const asked = await dialled(directory, "watch", () => heard.resolve())
  if (!asked) return undefined
  signal.addEventListener("abort", asked.leave)
  if (signal.aborted) asked.leave()
  const over = asked.over.then(() => signal.removeEventListener("abort", asked.leave))
  await Promise.race([heard.promise, over])
  return { over }
}

async function dialled(directory: string, request: string, data: (text: string) => void) {
  const over = Promise.withResolvers<void>()
  const socket = await dialIn(directory, FILTER_SOCKET, { data, ended: () => over.resolve() })
  if (!socket) return undefined
  socket.write(`${request}\n`)
  const leave = () => {
    socket.destroy()
    over.resolve()
  }
  return { over: over.promise, leave }
}

/** The answer on a connection that carries frames from its end on, of which nothing is read. Throws OVM_HOST_FAILED. */
export async function answerOn(connection: number): Promise<string> {
  const byte = Buffer.alloc(1)
  let said = ""
  const deadline = performance.now() + ANSWER_MS
  while (performance.now() < deadline) {
    const got = readNow(connection, byte)
    if (got === undefined) await sleep(LOOK_MS)
    else said += byte.toString("latin1", 0, got)
    if (got === 0 || said.endsWith(`${GOOD}\n`)) return said.trim()
  }
  throw unanswered("add")
}

/** How many bytes have come, 0 at the end; undefined if none have yet. */
function readNow(connection: number, into: Buffer): number | undefined {
  try {
    return readSync(connection, into)
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === "EAGAIN") return undefined
    if (code === "ECONNRESET") return 0
    throw thrown
  }
}

function unanswered(request: string): OvmError {
  return new OvmError("OVM_HOST_FAILED", `the filter of the machine's network does not answer: ${request}`)
}
