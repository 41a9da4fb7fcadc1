import { spawn } from "node:child_process"
import { once } from "node:events"
import { accessSync, closeSync, constants, statSync } from "node:fs"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../errors.ts"
import { socketPair } from "../host/libc.ts"
import { isEveryFamily, portInUse } from "./clash.ts"
import type { PortForward } from "./forward.ts"

/** How long it may take to open its ports and to shut itself in: 30 ms, and longer on a host that is far too busy. */
const START_MS = 10_000
/** How long what it said may still come once it has ended: a process of its own may hold the pipe. */
const WORDS_MS = 1000
/** Of what it says when it does not start. */
const MOST_WORDS = 2000
/** Of its descriptors: its end of the connection to the VMM. */
const CONNECTION = 3

/** The passt of this host (https://passt.top), the first one on PATH; undefined if there is none. */
export function findPasst(env: Record<string, string | undefined> = process.env): string | undefined {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "")
  return folders.map((folder) => join(folder, "passt")).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/**
 * The connection of one VMM to a passt of its own, which need not be there yet. passt ends by itself as soon as nobody
 * holds the VMM's end any more, whoever was killed and however.
 */
export class PasstLink implements Disposable {
  /** For the VMM to inherit; to be closed here once it has. */
  #vmm: number | undefined
  #passt: number | undefined
  readonly #given = new AbortController()

  /** Throws OVM_TOO_MANY where there is no descriptor left. */
  constructor(private readonly program: string) {
    const [vmm, passt] = socketPair()
    this.#vmm = vmm
    this.#passt = passt
  }

  /** The VMM's end. */
  get vmmEnd(): number {
    if (this.#vmm === undefined) throw new OvmError("OVM_INTERNAL", "the VMM has its end already")
    return this.#vmm
  }

  /** The VMM was started, and has inherited its end. */
  handedOver(): void {
    if (this.#vmm !== undefined) closeSync(this.#vmm)
    this.#vmm = undefined
  }

  /**
   * Starts passt, once; returns when `forwards` are open. Throws OVM_PORT_IN_USE, or OVM_HOST_FAILED with passt's own
   * words, also if it takes more than 10 s or is let go of meanwhile; then nothing of it is left.
   */
  async start(forwards: readonly PortForward[]): Promise<void> {
    if (this.#passt === undefined) throw new OvmError("OVM_INTERNAL", "passt has its end already")
    try {
      await started(this.program, forwards, this.#passt, this.#given.signal)
    } finally {
      this[Symbol.dispose]()
    }
  }

  /** Lets go of what is held still, and ends a passt that is starting. One that has lives as long as its VMM. */
  [Symbol.dispose](): void {
    this.#given.abort()
    this.handedOver()
    if (this.#passt !== undefined) closeSync(this.#passt)
    this.#passt = undefined
  }
}

/** Without `--no-map-gw` the guest's gateway would be the host's loopback. Exported for its test. */
export function passtArguments(forwards: readonly PortForward[]): string[] {
  const ports = forwards.flatMap((forward) => specifier(forward, forwards) ?? [])
  return ["--quiet", "--no-map-gw", ...ports, "--fd", String(CONNECTION)]
}

/** Every address of both families is said without one, and once: twice it would be refused as overlapping. */
function specifier(forward: PortForward, all: readonly PortForward[]): readonly [string, string] | undefined {
  const { protocol, address, host, guest } = forward
  const option = protocol === "tcp" ? "-t" : "-u"
  const pair = all.find((other) => isEveryFamily(other, forward))
  if (!pair) return [option, `${address}/${host}:${guest}`]
  return all.indexOf(forward) < all.indexOf(pair) ? [option, `${host}:${guest}`] : undefined
}

/** It goes into the background when all is ready, so that its first process ends. */
async function started(
  program: string,
  forwards: readonly PortForward[],
  connection: number,
  signal: AbortSignal,
): Promise<void> {
  // Detached: a group of its own, which can be ended as a whole.
  const child = spawn(program, passtArguments(forwards), {
    cwd: "/",
    detached: true,
    stdio: ["ignore", "ignore", "pipe", connection],
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
    if (how === "status 0") return
    await Promise.race([closed, sleep(WORDS_MS)])
    throw failure(how, words, forwards)
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    throw failure(thrown instanceof Error ? thrown.message : String(thrown), words, forwards, thrown)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener("abort", cancel)
    child.stderr?.destroy()
  }
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, "SIGKILL")
  } catch {
    // It has ended meanwhile.
  }
}

function failure(how: string, words: string, forwards: readonly PortForward[], cause?: unknown): OvmError {
  // What it cannot tell the system's log, it says of that.
  const said = words.replace(/^Failed to send \d+ bytes to syslog\n/gm, "").trim()
  const message = `the machine's network could not be made: passt did not start (${how})${said && `: ${said}`}`
  if (!/address (already )?in use|failed to bind/i.test(said))
    return new OvmError("OVM_HOST_FAILED", message, {
      cause,
      hint: "--network none starts the machine without one",
    })
  const refused = forwards.find((forward) => said.includes(`${specifier(forward, forwards)?.join(" ")}'`))
  return refused
    ? portInUse(refused, "", new Error(message))
    : new OvmError("OVM_PORT_IN_USE", message, { cause })
}
