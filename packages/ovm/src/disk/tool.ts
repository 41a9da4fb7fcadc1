import { type ChildProcessByStdio, spawn } from "node:child_process"
import type { Readable } from "node:stream"
import { OvmError } from "../errors.ts"

/** What a program may use, since what it reads was written by strangers. */
export interface ToolLimits {
  /** Of wall time; and as seconds of the CPU's. */
  readonly ms: number
  /** Of standard output, in bytes. */
  readonly output: number
  /** Of each file that it writes, in bytes. */
  readonly file?: number
}

export interface ToolCall {
  readonly signal?: AbortSignal
  readonly cwd?: string
}

export interface ToolResult {
  readonly status: number
  readonly stdout: Buffer
  /** The beginning of it. */
  readonly stderr: string
}

/** Of address space, in bytes: several times what any of them needs. */
const MEMORY = 2 ** 31
const STDERR_LIMIT = 4096
/** Where administrators' programs are: the PATH of others often lacks it. */
const PATH = `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`

/** Says why a disk, or part of one, cannot be looked into. */
export function unreadableDisk(reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_DISK_INVALID", reason, { cause })
}

/**
 * Starts a program, without a shell and with an empty environment, under util-linux's `prlimit` and `setpriv`: bounded
 * time of the CPU, memory and files, and ended with this process, however that ends.
 */
export function startTool(
  name: string,
  args: readonly string[],
  limits: Omit<ToolLimits, "output">,
  cwd?: string,
): ChildProcessByStdio<null, Readable, Readable> {
  const bounds = [`--as=${MEMORY}`, `--cpu=${Math.ceil(limits.ms / 1000)}`, "--core=0"]
  if (limits.file !== undefined) bounds.push(`--fsize=${limits.file}`)
  return spawn("prlimit", [...bounds, "--", "setpriv", "--pdeathsig", "KILL", "--", name, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH, LC_ALL: "C" },
    ...(cwd !== undefined && { cwd }),
  })
}

/** Why a program that has ended did not even begin; undefined if it did. */
export function notBegun(name: string, status: number | null, stderr: string): OvmError | undefined {
  const missing = /failed to execute ([^\s:]+)/.exec(stderr)?.[1]
  if (status === 127 || missing !== undefined) return unreadableDisk(`${missing ?? name} is not installed`)
  return undefined
}

/** Where the program that bounds all others could not be started. */
export function notBounded(cause: unknown): OvmError {
  return unreadableDisk("prlimit (of util-linux) could not be started", cause)
}

/**
 * Runs a program as startTool does, with bounded time and output too. Throws what `unreadableDisk` makes if it is
 * missing or hits a bound, OVM_INTERRUPTED.
 */
export function runTool(
  name: string,
  args: readonly string[],
  limits: ToolLimits,
  { signal, cwd }: ToolCall = {},
): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    const child = startTool(name, args, limits, cwd)
    const chunks: Buffer[] = []
    let size = 0
    let stderr = ""
    const end = (error: OvmError) => {
      child.kill("SIGKILL")
      reject(error)
    }
    const interrupt = () => end(new OvmError("OVM_INTERRUPTED", "interrupted"))
    const timer = setTimeout(() => end(unreadableDisk(`${name} took longer than ${limits.ms} ms`)), limits.ms)
    child.on("error", (cause) => reject(notBounded(cause)))
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.byteLength
      if (size > limits.output) end(unreadableDisk(`${name} wrote more than ${limits.output} bytes`))
      else chunks.push(chunk)
    })
    child.stderr.on("data", (chunk: Buffer) => {
      if (stderr.length < STDERR_LIMIT) stderr += chunk.toString("latin1").slice(0, STDERR_LIMIT)
    })
    child.on("close", (status, killed) => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", interrupt)
      const failed = notBegun(name, status, stderr)
      if (failed) reject(failed)
      else if (killed) reject(unreadableDisk(`${name} was ended by ${killed}`))
      else resolve({ status: status ?? -1, stdout: Buffer.concat(chunks), stderr })
    })
    if (signal?.aborted) interrupt()
    else signal?.addEventListener("abort", interrupt, { once: true })
  })
}
