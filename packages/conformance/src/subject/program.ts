import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { Failure } from "../check.ts"
import { killMarked, MARK } from "./leftovers.ts"
import { type Peak, peakOf } from "./memory.ts"
import { usedIn } from "./used.ts"

export interface Output {
  /** 128 and the number of the signal where that ended it. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
  /** Where it was measured. */
  readonly peak?: Peak
}

export interface ProgramOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly limitMs: number
  readonly signal: AbortSignal
  /** How long a file may become that it writes; FILE_BYTES unless told. */
  readonly fileBytes?: number
  /** Files may be of any length, and take up as much of the disk as others. */
  readonly sparse?: boolean
  /** Its memory is looked at while it runs. */
  readonly measured?: boolean
}

/** Bytes of standard output, and of standard error, that a program may write. */
export const OUTPUT_LIMIT = 8 << 20

/** Bytes of one file that it may write: nothing here needs larger ones. */
const FILE_BYTES = 64 << 20

/** Bytes that the folder of a call may take up on the disk where files may have holes. */
const FOLDER_LIMIT = 1 << 30

/**
 * Runs a program of the implementation to its end, in a process group of its own, with no input. Throws Failure if it
 * cannot be started, writes too much, takes too long, or leaves processes behind; whatever is left of it is killed.
 */
export async function runProgram(command: readonly string[], options: ProgramOptions): Promise<Output> {
  const mark = randomUUID()
  const bounds = options.sparse ? "" : `ulimit -f ${(options.fileBytes ?? FILE_BYTES) / 512}; `
  const child = spawn("/bin/sh", ["-c", `${bounds}exec "$@"`, "sh", ...command], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env, [MARK]: mark },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  })
  const over = new AbortController()
  const measured = options.measured ? peakOf(child.pid ?? 0, mark, over.signal) : undefined
  let left: number | undefined
  try {
    const output = await ended(child, options)
    left = killMarked(mark)
    if (left > 0) throw new Failure(`${command.join(" ")} left ${left} processes behind`)
    over.abort()
    return measured ? { ...output, peak: await measured } : output
  } finally {
    over.abort()
    kill(child)
    if (left !== 0) killMarked(mark)
    child.stdout?.destroy()
    child.stderr?.destroy()
  }
}

function ended(child: ChildProcess, options: ProgramOptions): Promise<Output> {
  const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  return new Promise((resolve, reject) => {
    const refuse = (words: string) => {
      settle()
      reject(new Failure(words))
    }
    const timer = setTimeout(
      () => refuse(`it did not end within ${options.limitMs / 1000} s`),
      options.limitMs,
    )
    const onAbort = () => refuse("it did not end in time")
    options.signal.addEventListener("abort", onAbort, { once: true })
    const watch =
      options.sparse &&
      setInterval(() => {
        usedIn(options.cwd).then(
          (used) => used > FOLDER_LIMIT && refuse(`it wrote more than ${FOLDER_LIMIT >> 20} MiB`),
          () => {}, // What is looked at goes away meanwhile.
        )
      }, 1000)
    const settle = () => {
      clearTimeout(timer)
      if (watch) clearInterval(watch)
      options.signal.removeEventListener("abort", onAbort)
    }
    for (const name of ["stdout", "stderr"] as const) {
      let size = 0
      child[name]?.on("data", (bytes: Buffer) => {
        size += bytes.length
        if (size > OUTPUT_LIMIT) refuse(`it wrote more than ${OUTPUT_LIMIT >> 20} MiB to ${name}`)
        else kept[name].push(bytes)
      })
    }
    child.on("error", (error) => refuse(`it could not be started: ${error.message}`))
    child.on("exit", (code, signal) => {
      const done = () => {
        settle()
        const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString()
        resolve({ status: code ?? (signal ? 137 : 1), stdout: text(kept.stdout), stderr: text(kept.stderr) })
      }
      // A process that it left behind may hold the pipes open; what it wrote itself is there by then.
      const late = setTimeout(done, 500)
      child.on("close", () => {
        clearTimeout(late)
        done()
      })
    })
    if (options.signal.aborted) onAbort()
  })
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid) process.kill(-pid, "SIGKILL")
  } catch {} // All of the group has ended.
}
