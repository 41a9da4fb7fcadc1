import { spawn } from "node:child_process"
import { OvmError } from "../../errors.ts"

/** Kernels are packed with dictionaries of 32 MiB. */
const MEMORY = "256MiB"
const BOUND_MS = 60_000
const WORDS_LIMIT = 1024

/**
 * Gives what `packed` holds, at most `size` bytes, by the program xz: no library in use here knows its filter for x86.
 * Throws OVM_HOST_FAILED where that is not installed.
 */
export async function unpackXz(packed: Buffer, size: number, signal?: AbortSignal): Promise<Buffer> {
  const args = ["--decompress", "--stdout", "--single-stream", `--memlimit-decompress=${MEMORY}`]
  const bound = AbortSignal.timeout(BOUND_MS)
  const child = spawn("xz", args, {
    signal: signal ? AbortSignal.any([signal, bound]) : bound,
    killSignal: "SIGKILL",
  })
  const parts: Buffer[] = []
  let total = 0
  let words = ""
  child.stdout.on("data", (bytes: Buffer) => {
    total += bytes.length
    if (total <= size) parts.push(bytes)
    else child.kill("SIGKILL")
  })
  child.stderr.on("data", (bytes: Buffer) => {
    words = `${words}${bytes}`.slice(0, WORDS_LIMIT)
  })
  // It may end before it has read everything.
  child.stdin.on("error", () => {})
  child.stdin.end(packed)
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", (cause) => reject(notRun(cause)))
    child.once("close", resolve)
  })
  if (total > size) throw new Error(`more than ${size} bytes come out`)
  if (status !== 0) throw new Error(words.trim() || `xz ended with status ${status}`)
  return Buffer.concat(parts)
}

function notRun(cause: Error): OvmError {
  const what = cause.name === "AbortError" ? "was stopped" : "is not installed"
  return new OvmError("OVM_HOST_FAILED", `the kernel is compressed by xz, and the program xz ${what}`, {
    cause,
    hint: "apt-get install xz-utils",
  })
}
