import { spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, readSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { memoryFile } from "../host/libc.ts"

/** How long it may take until it is ready: 30 ms, and longer on a host that is far too busy. */
const START_MS = 10_000
/** How long what it said may still come once it has ended: a process of its own may hold the pipe. */
const WORDS_MS = 1000
/** Of what it says when it does not start. */
const MOST_WORDS = 2000

/** A program that goes into the background once it is ready, so that its first process ends. */
export interface Background {
  /** Its path, as a process of its own sees it that has `descriptors` from 3 on. */
  readonly program: string
  /** As it is seen in `ps`; its path unless given. */
  readonly name?: string
  readonly args: readonly string[]
  /** The folder that it is started in; `/` unless given. */
  readonly cwd?: string
  readonly descriptors: readonly number[]
  /** Told the process that stays, which the program writes to its standard output. */
  readonly onStay?: ((pid: number) => void) | undefined
}

/** Why one did not start: how its first process ended, and what it said. */
export interface NotStarted {
  readonly how: string
  readonly words: string
  readonly cause?: unknown
}

/**
 * Starts it in a group of its own; returns once it is ready, with nothing, or once it has failed, with the reason. One
 * that takes more than 10 s, or whose `signal` comes first, is ended with all of its processes.
 */
export async function startBackground(
  { program, name, args, cwd = "/", descriptors, onStay }: Background,
  signal: AbortSignal,
): Promise<NotStarted | undefined> {
  const said = onStay ? memoryFile("ovm-pid") : undefined
  const child = spawn(program, [...args], {
    ...(name !== undefined && { argv0: name }),
    cwd,
    detached: true,
    stdio: ["ignore", said ?? "ignore", "pipe", ...descriptors],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
  })
  let words = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MOST_WORDS)
  })
  const closed = once(child, "close").catch(() => {})
  const ended = Promise.withResolvers<string>()
  child.once("error", ended.reject)
  child.once("exit", (code, by) => ended.resolve(code === null ? `ended by ${by}` : `status ${code}`))
  const giveUp = (how: string) => {
    ended.resolve(how)
    killGroup(child.pid)
  }
  const cancel = () => giveUp("it was let go of")
  signal.addEventListener("abort", cancel)
  const timer = setTimeout(() => giveUp(`not within ${START_MS / 1000} s`), START_MS)
  try {
    const how = await ended.promise
    if (how === "status 0") {
      const pid = said === undefined ? 0 : pidIn(said)
      if (pid > 0) onStay?.(pid)
      return undefined
    }
    await Promise.race([closed, sleep(WORDS_MS)])
    return { how, words }
  } catch (cause) {
    return { how: cause instanceof Error ? cause.message : String(cause), words, cause }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener("abort", cancel)
    child.stderr?.destroy()
    if (said !== undefined) closeSync(said)
  }
}

/** 0 for one that has not said so. */
function pidIn(said: number): number {
  const text = Buffer.alloc(32)
  return Number.parseInt(text.toString("latin1", 0, readSync(said, text, 0, text.length, 0)), 10) || 0
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, "SIGKILL")
  } catch {
    // It has ended meanwhile.
  }
}
