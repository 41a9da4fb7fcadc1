import { spawn } from "node:child_process"
import { once } from "node:events"
import { accessSync, closeSync, constants, statSync } from "node:fs"
import { delimiter, join } from "node:path"
import { OvmError } from "../errors.ts"
import { socketPair } from "../host/libc.ts"
import type { PortForward } from "./forward.ts"

/** How long it may take to open its ports and to shut itself in: 30 ms, and longer on a host that is far too busy. */
const START_MS = 20_000
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
   * Starts passt, once; returns when `forwards` are open. Throws OVM_PORT_IN_USE or OVM_HOST_FAILED with passt's own
   * words.
   */
  async start(forwards: readonly PortForward[]): Promise<void> {
    if (this.#passt === undefined) throw new OvmError("OVM_INTERNAL", "passt has its end already")
    try {
      await started(this.program, passtArguments(forwards), this.#passt)
    } finally {
      this[Symbol.dispose]()
    }
  }

  /** Lets go of what is held still. A passt that was started lives as long as its VMM. */
  [Symbol.dispose](): void {
    this.handedOver()
    if (this.#passt !== undefined) closeSync(this.#passt)
    this.#passt = undefined
  }
}

/** Without `--no-map-gw` the guest's gateway would be the host's loopback. Exported for its test. */
export function passtArguments(forwards: readonly PortForward[]): string[] {
  const ports = forwards.flatMap(({ protocol, address, host, guest }) => [
    protocol === "tcp" ? "-t" : "-u",
    `${address}/${host}:${guest}`,
  ])
  return ["--quiet", "--no-map-gw", ...ports, "--fd", String(CONNECTION)]
}

/** It goes into the background when all is ready, so that its first process ends. */
async function started(program: string, args: readonly string[], connection: number): Promise<void> {
  const child = spawn(program, args, {
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
  const timer = setTimeout(() => child.kill("SIGKILL"), START_MS)
  try {
    const status = await new Promise<number | string>((resolve, reject) => {
      child.once("error", reject)
      child.once("exit", (code, signal) => resolve(code ?? signal ?? "unknown"))
    })
    if (status === 0) return
    await closed
    throw failure(`status ${status}`, words)
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    throw failure(thrown instanceof Error ? thrown.message : String(thrown), words, thrown)
  } finally {
    clearTimeout(timer)
    child.stderr?.destroy()
  }
}

function failure(how: string, words: string, cause?: unknown): OvmError {
  // What it cannot tell the system's log, it says of that.
  const said = words.replace(/^Failed to send \d+ bytes to syslog\n/gm, "").trim()
  const message = `the machine's network could not be made: passt did not start (${how})${said && `: ${said}`}`
  const inUse = /address (already )?in use/i.test(said)
  return new OvmError(inUse ? "OVM_PORT_IN_USE" : "OVM_HOST_FAILED", message, {
    cause,
    ...(!inUse && { hint: "--network none starts the machine without one" }),
  })
}
