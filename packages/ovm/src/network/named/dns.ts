import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { isStopped, pids, processStat } from "../../host/process-stat.ts"
import { startBackground } from "../background.ts"
import { serverArguments } from "./dns-arguments.ts"
import type { NamedNetwork, NetworkMember } from "./named-network.ts"
import { pathOf } from "./programs.ts"
import { machine6Of } from "./subnet6.ts"

/**
 * What dnsmasq reads, once it is nobody: a folder that every user may look into, which the root's own is not. It goes
 * with the host's next boot, as the bridge does.
 */
const FOLDERS = "/run/ovm-networks"

const ENDING_MS = 2000
const LOOK_MS = 10

/** Who serves addresses and names to one network: a dnsmasq of its own, which outlives this process. */
export class NameServer {
  readonly #folder: string
  readonly #network: NamedNetwork

  constructor(network: NamedNetwork) {
    this.#network = network
    this.#folder = join(FOLDERS, network.interface)
  }

  /**
   * Its pid, if it lives: by its file, or, where somebody has removed that, among all processes. Believed only of one
   * that was started with the very file that says so.
   */
  get pid(): number | undefined {
    const noted = Number(read(this.#path("pid")).trim())
    if (Number.isSafeInteger(noted) && noted > 0 && this.#is(noted)) return noted
    return pids().find((pid) => processName(pid) === "dnsmasq" && this.#is(pid))
  }

  #is(pid: number): boolean {
    return read(`/proc/${pid}/cmdline`).split("\0").includes(this.#pidFile)
  }

  /** Whether it answers as far as anybody can see: it lives, and nobody has stopped it (signal(7), SIGSTOP). */
  get serves(): boolean {
    const { pid } = this
    return pid !== undefined && !standsStill(pid)
  }

  /** The same, if it was started as it would be now: not by another version, or with what the host had once. */
  get #current(): number | undefined {
    const { pid } = this
    const given = pid === undefined ? [] : read(`/proc/${pid}/cmdline`).split("\0").slice(1, -1)
    return given.join("\0") === this.#arguments().join("\0") ? pid : undefined
  }

  /**
   * Has it serve these machines: started if it does not live, continued if it was stopped, and told of what has
   * changed. Throws OVM_UNSUPPORTED where there is no dnsmasq, OVM_HOST_FAILED with its own words.
   */
  async serve(members: readonly NetworkMember[]): Promise<void> {
    this.#continue()
    const pid = this.#current
    if (pid === undefined) await this.stop()
    const given = pid === undefined ? new Map<string, string>() : leased(read(this.#path("leases")))
    const moved = members.some(({ address, mac }) => (given.get(address) ?? mac) !== mac)
    // It would keep an address for whoever had it last.
    if (moved) await this.stop()
    const known = moved ? new Map<string, string>() : given
    for (const { address, mac } of members) known.set(address, mac)
    const { subnet6 } = this.#network
    const six = (mac: string) => (subnet6 ? [machine6Of(subnet6, mac)] : [])
    const lease = ([address, mac]: readonly [string, string]) =>
      [mac, address, ...six(mac).map((one) => `[${one}]`)].join(",")
    const names = members.flatMap(({ address, mac, name }) =>
      [address, ...six(mac)].map((one) => `${one} ${name}`),
    )
    const changes = [
      this.#write("leases", lines(Array.from(known, lease))),
      this.#write("names", lines(names)),
    ]
    if (pid === undefined || moved) await this.#start()
    else if (changes.includes(true)) process.kill(pid, "SIGHUP")
  }

  /** Ends it; returns once it is gone. */
  async stop(): Promise<void> {
    const deadline = performance.now() + ENDING_MS
    this.#continue()
    for (let pid = this.pid; pid !== undefined; pid = this.pid) {
      process.kill(pid, performance.now() < deadline ? "SIGTERM" : "SIGKILL")
      await sleep(LOOK_MS)
    }
    rmSync(this.#path("pid"), { force: true })
  }

  /** Ends it and removes all that it reads. */
  async remove(): Promise<void> {
    await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #continue(): void {
    const { pid } = this
    if (pid !== undefined && standsStill(pid)) process.kill(pid, "SIGCONT")
  }

  async #start(): Promise<void> {
    const program = pathOf("dnsmasq")
    const fault = await startBackground(
      { program, args: this.#arguments(), descriptors: [] },
      new AbortController().signal,
    )
    if (!fault) return
    const said = `(${fault.how}) ${fault.words.trim()}`.trim()
    throw new OvmError("OVM_HOST_FAILED", `dnsmasq of ${this.#network.interface} did not start: ${said}`, {
      cause: fault.cause,
    })
  }

  #arguments(): readonly string[] {
    return serverArguments(
      this.#network,
      { leases: this.#path("leases"), names: this.#path("names") },
      this.#pidFile,
    )
  }

  get #pidFile(): string {
    return `--pid-file=${this.#path("pid")}`
  }

  #path(name: string): string {
    return join(this.#folder, name)
  }

  /** Replaces the file; true if it was another one before. */
  #write(name: string, content: string): boolean {
    const path = this.#path(name)
    if (readOr(path) === content) return false
    for (const folder of [FOLDERS, this.#folder]) {
      mkdirSync(folder, { recursive: true })
      // Whatever this process's files are as a rule.
      chmodSync(folder, 0o755)
    }
    writeFileSync(`${path}.new`, content)
    chmodSync(`${path}.new`, 0o644)
    renameSync(`${path}.new`, path)
    return true
  }
}

/** Undefined also of one that cannot be looked at just now. */
function processName(pid: number): string | undefined {
  try {
    return processStat(pid)?.name
  } catch {
    return undefined
  }
}

/** Of one that a signal has stopped, and none that has ended. */
function standsStill(pid: number): boolean {
  const stat = processStat(pid)
  return stat !== undefined && isStopped(stat)
}

/** By address, the MAC address that it was given to. */
function leased(text: string): Map<string, string> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const [mac, address] = line.split(",")
      return mac && address ? [[address, mac] as const] : []
    }),
  )
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("")
}

function read(path: string): string {
  return readOr(path) ?? ""
}

function readOr(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1")
  } catch {
    return undefined
  }
}
