import { fstatSync, writeSync } from "node:fs"
import { OvmError, toOvmError } from "../errors.ts"

/**
 * Writes results to standard output, as they are, before it returns. Loads no stream: that alone costs milliseconds.
 */
export function print(text: string): void {
  writeAll(1, text)
}

/**
 * Writes remarks, errors and the daemon's log to standard error. Where nobody can read them, as in a file on a full
 * disk, the work that they are about goes on, and the exit status says what it has to say.
 */
export function printError(text: string): void {
  try {
    writeAll(2, text)
  } catch {}
}

/** Writes a remark that is no error, once it was printable. */
export function warn(text: string): void {
  printError(`warning: ${printable(text)}\n`)
}

export function printJson(value: unknown): void {
  print(`${jsonText(value, 2)}\n`)
}

/** JSON in which no terminal finds an order: it has escapes for the controls that JSON itself lets through as well. */
export function jsonText(value: unknown, indent = 0): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f]/g,
    (one) => `\\u00${one.charCodeAt(0).toString(16)}`,
  )
}

/** Streams bytes to standard output or error, waiting for a slow reader without holding up signals. */
export async function printBytes(bytes: Uint8Array, to: "stdout" | "stderr" = "stdout"): Promise<void> {
  const stream = process[to]
  // The stream also emits what the write's callback is told; unheard, it would end the program with a trace.
  if (stream.listenerCount("error") === 0) stream.on("error", () => {})
  await new Promise<void>((resolve, reject) => {
    stream.write(bytes, (error) => (error ? reject(unwritten(error, to === "stdout" ? 1 : 2)) : resolve()))
  })
}

/** True if a person is watching: only then are there bars and prompts. */
export function isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean {
  const descriptor = { stdin: 0, stdout: 1, stderr: 2 }[stream]
  try {
    const found = fstatSync(descriptor)
    if (!found.isCharacterDevice() || found.rdev >> 8 === MEMORY_DEVICES) return false
  } catch {
    return false // It is closed.
  }
  // Loaded only for devices: it takes longer than all else that a short command does.
  return process.getBuiltinModule("node:tty").isatty(descriptor)
}

/** The major number of /dev/null and its like (Linux: admin-guide/devices.txt). */
const MEMORY_DEVICES = 1

export function isClosedPipe(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException | undefined)?.code === "EPIPE"
}

/**
 * Text of others (registries, manifests, guests) as it may appear on a terminal: control characters, which could
 * rewrite what is on the screen, are shown as escapes.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    JSON.stringify(character).length > 3
      ? JSON.stringify(character).slice(1, -1)
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

/** A system error says what went wrong, not where, and what helps against a full disk of ours may not help here. */
function unwritten(thrown: unknown, descriptor: number): unknown {
  if (isClosedPipe(thrown)) return thrown
  const path = descriptor === 1 ? "standard output" : "standard error"
  const { code, message } = toOvmError(Object.assign(thrown as Error, { path }))
  return new OvmError(code, message, {
    cause: thrown,
    hint: "what was printed is incomplete: print it elsewhere",
  })
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(descriptor, bytes, at)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EAGAIN") throw unwritten(thrown, descriptor)
      // The other end made the pipe non-blocking and is slow.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
