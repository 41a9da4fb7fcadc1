import { setTimeout as sleep } from "node:timers/promises"
import { isObject } from "../../objects.ts"
import { type QgaChannel, Refused } from "./channel.ts"

const SHELL = "/bin/sh"
/** What a command has besides: the agent's own environment is whatever started it. */
const ENVIRONMENT = [
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/root",
  "USER=root",
]
/** Between two looks whether a command has ended. */
const FIRST_LOOK_MS = 5
const LAST_LOOK_MS = 100

/** How a command in the guest has ended, and what of its output was kept. */
export interface ShellEnd {
  readonly status: number
  /** The number of the signal that ended it. */
  readonly signal?: number
  readonly output: string
  readonly errors: string
}

export interface Script {
  readonly script: string
  /** From $1 on. */
  readonly words: readonly string[]
  /** NAME=VALUE. */
  readonly variables?: readonly string[]
}

/** Begins a script of the guest's shell; gives its pid. Its output is kept for `ended` if `keep`. Throws Refused. */
export async function beginScript(
  line: QgaChannel,
  { script, words, variables = [] }: Script,
  keep: boolean,
): Promise<number> {
  const started = await line.ask("guest-exec", {
    path: SHELL,
    arg: ["-c", script, "ovm", ...words],
    env: [...ENVIRONMENT, ...variables],
    "capture-output": keep,
  })
  const pid = isObject(started) ? started.pid : undefined
  if (typeof pid === "number" && Number.isSafeInteger(pid) && pid > 1) return pid
  throw new Refused("it says of no process that it was started")
}

/** How it has ended; undefined while it runs. Throws Refused. */
export async function ended(line: QgaChannel, pid: number): Promise<ShellEnd | undefined> {
  const found = await line.ask("guest-exec-status", { pid })
  if (!isObject(found) || typeof found.exited !== "boolean")
    throw new Refused("it says nothing of the process")
  if (!found.exited) return undefined
  const signal = numberIn(found.signal)
  return {
    status: numberIn(found.exitcode) ?? 0,
    ...(signal !== undefined && signal > 0 && { signal }),
    output: textIn(found["out-data"]),
    errors: textIn(found["err-data"]),
  }
}

/** To its end, which is near. Throws Refused. */
export async function runScript(
  line: QgaChannel,
  script: string,
  ...words: readonly string[]
): Promise<ShellEnd> {
  const pid = await beginScript(line, { script, words }, true)
  return await seen(() => ended(line, pid))
}

/** What `look` gives once it gives something, looked at ever less often. */
export async function seen<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let wait = FIRST_LOOK_MS; ; wait = Math.min(2 * wait, LAST_LOOK_MS)) {
    const found = await look()
    if (found !== undefined) return found
    await sleep(wait)
  }
}

function numberIn(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? value & 0xff : undefined
}

function textIn(value: unknown): string {
  return typeof value === "string" ? Buffer.from(value, "base64").toString() : ""
}
