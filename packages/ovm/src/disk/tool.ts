import { type ChildProcessByStdio, spawn } from "node:child_process"
import type { Readable } from "node:stream"
import { OvmError } from "../errors.ts"
import { fileLimit } from "../host/file-limit.ts"

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

/** A program that is not on this host. */
export class ToolMissing extends OvmError {
  constructor(readonly program: string) {
    super("OVM_DISK_INVALID", `${program} is not installed`)
  }
}

/**
 * Starts a program, without a shell and with an empty environment, under util-linux's `prlimit` and `setpriv`: bounded
 * time of the CPU, memory and files, and ended with this process, however that ends.
 */
function startTool(
  name: string,
  args: readonly string[],
  limits: Omit<ToolLimits, "output">,
  cwd?: string,
): ChildProcessByStdio<null, Readable, Readable> {
  const bounds = [`--as=${MEMORY}`, `--cpu=${Math.ceil(limits.ms / 1000)}`, "--core=0"]
  // One that is lower already could not be raised.
  if (limits.file !== undefined) bounds.push(`--fsize=${Math.min(limits.file, fileLimit())}`)
  return spawn("prlimit", [...bounds, "--", "setpriv", "--pdeathsig", "KILL", "--", name, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH, LC_ALL: "C" },
    ...(cwd !== undefined && { cwd }),
  })
}

export interface Ended {
  /** -1 if a signal ended it. */
  readonly status: number
  readonly killed: NodeJS.Signals | null
  /** The beginning of it. */
  readonly stderr: string
}

export interface WatchedTool {
  readonly stdout: Readable
  /** Rejects with why it was ended, or did not even begin. */
  readonly ended: Promise<Ended>
  /** Kills it; the first reason is what `ended` rejects with. */
  end(reason?: OvmError): void
}

/** Starts a program as startTool does, and ends it when its time is over or the signal comes. */
export function watchTool(
  name: string,
  args: readonly string[],
  limits: Omit<ToolLimits, "output">,
  { signal, cwd }: ToolCall = {},
): WatchedTool {
  const child = startTool(name, args, limits, cwd)
  let stderr = ""
  let failed: OvmError | undefined
  const end = (reason?: OvmError) => {
    failed ??= reason
    child.kill("SIGKILL")
  }
  const interrupt = () => end(new OvmError("OVM_INTERRUPTED", "interrupted"))
  const timer = setTimeout(() => end(unreadableDisk(`${name} took longer than ${limits.ms} ms`)), limits.ms)
  child.stderr.on("data", (chunk: Buffer) => {
    if (stderr.length < STDERR_LIMIT) stderr += chunk.toString("latin1").slice(0, STDERR_LIMIT)
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    const settled = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", interrupt)
    }
    child.once("error", (cause) => {
      settled()
      child.stdout.destroy()
      reject(failed ?? unreadableDisk("prlimit (of util-linux) could not be started", cause))
    })
    child.once("close", (status, killed) => {
      settled()
      const missing = /failed to execute ([^\s:]+)/.exec(stderr)?.[1]
      const fault = failed ?? (status === 127 || missing ? new ToolMissing(missing ?? name) : undefined)
      if (fault) reject(fault)
      else resolve({ status: status ?? -1, killed, stderr })
    })
  })
  // Whoever reads on may never come to it.
  ended.catch(() => {})
  if (signal?.aborted) interrupt()
  else signal?.addEventListener("abort", interrupt, { once: true })
  return { stdout: child.stdout, ended, end }
}

/**
 * Runs a program as watchTool does, with bounded output too. Throws what `unreadableDisk` makes if it is missing or
 * hits a bound, OVM_INTERRUPTED.
 */
export async function runTool(
  name: string,
  args: readonly string[],
  limits: ToolLimits,
  call: ToolCall = {},
): Promise<ToolResult> {
  const { stdout, ended, end } = watchTool(name, args, limits, call)
  const chunks: Buffer[] = []
  let size = 0
  stdout.on("data", (chunk: Buffer) => {
    size += chunk.byteLength
    if (size > limits.output) end(unreadableDisk(`${name} wrote more than ${limits.output} bytes`))
    else chunks.push(chunk)
  })
  const { status, killed, stderr } = await ended
  if (killed) throw unreadableDisk(`${name} was ended by ${killed}`)
  return { status, stdout: Buffer.concat(chunks), stderr }
}
