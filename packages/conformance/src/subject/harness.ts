import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Failure, skip } from "../check.ts"
import { exchange } from "./exchange.ts"
import { MARK, marked } from "./leftovers.ts"
import { processesWith, signal } from "./processes.ts"
import { runProgram } from "./program.ts"
import { shellWord } from "./shell-word.ts"
import { within } from "./within.ts"

/** How long a runtime has until it answers. */
const START_MS = 60_000

/** What the command ends with that cannot give the runtime what a variable asks for. */
const UNAVAILABLE = 69

interface Closing {
  close(): Promise<void>
}

/** A socket that a runtime is given. */
export interface Passed {
  readonly descriptor: number
  /** Called once it has been. */
  passed(): Promise<void>
}

/** Starts, kills and starts again a runtime by a command (spec/conformance.md, "Runtimes"). */
export class Harness {
  readonly #mark = randomUUID()
  readonly #shared = new Map<string, Promise<Closing>>()
  #child: ChildProcess | undefined

  private constructor(
    private readonly command: string,
    /** The folder of its data, with the socket in it. */
    readonly home: string,
    private readonly settings: Readonly<Record<string, string>>,
    private readonly where: (pid: number) => string,
  ) {}

  /** The socket is where `where` finds it of the process; in the folder of its data unless told. */
  static async create(
    command: string,
    settings: Readonly<Record<string, string>> = {},
    where?: (pid: number) => string,
  ): Promise<Harness> {
    const home = join(await mkdtemp(join(tmpdir(), "ovms-runtime-")), "home")
    await mkdir(home, { mode: 0o700 })
    return new Harness(command, home, settings, where ?? (() => join(home, "ovm.sock")))
  }

  /** Another one by the same command, with a folder of its own, these variables, and a program before it. */
  another(
    settings: Readonly<Record<string, string>> = {},
    before = "",
    where?: (pid: number) => string,
  ): Promise<Harness> {
    const command = `/bin/sh -c ${shellWord(this.command)}`
    return Harness.create(before ? `${before} ${command}` : this.command, settings, where)
  }

  /** What several checks have together: made for the first one that asks, and gone with this. */
  async shared<T extends Closing>(name: string, make: () => Promise<T>): Promise<T> {
    const found = this.#shared.get(name) ?? make()
    this.#shared.set(name, found)
    return (await found) as T
  }

  get socket(): string {
    return this.where(this.pid)
  }

  /** Of the runtime itself; 0 before it was started. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** The processes that it has started, and itself: by its mark, or by the folder of its data. */
  async processes(): Promise<readonly number[]> {
    return [...new Set([...marked(this.#mark), ...processesWith(this.home)])]
  }

  /** Returns once it answers. Throws Failure if it does not, or ends. `given` is passed as systemd does. */
  async start(signal: AbortSignal, given?: Passed): Promise<void> {
    const passed = given ? "LISTEN_PID=$$ LISTEN_FDS=1" : ""
    const said = await open(this.#said, "w", 0o600)
    const child = spawn("/bin/sh", ["-c", `${passed} exec ${this.command}`.trim()], {
      env: { ...process.env, ...this.settings, OVMS_CONFORMANCE_HOME: this.home, [MARK]: this.#mark },
      stdio: ["ignore", "ignore", said.fd, ...(given ? [given.descriptor] : [])],
      detached: true,
    })
    let ended = false
    child.on("error", () => (ended = true))
    child.on("exit", () => (ended = true))
    this.#child = child
    await said.close()
    await given?.passed()
    const deadline = performance.now() + START_MS
    while (performance.now() < deadline && !signal.aborted) {
      if (child.exitCode === UNAVAILABLE) skip("the runtime cannot be given such settings")
      if (ended) throw new Failure(await this.#endOf(child))
      const health = { method: "GET", path: "/health", signal: AbortSignal.timeout(5000) }
      const reply = await exchange(this.socket, health).catch(() => undefined)
      if (reply?.status === 200) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Failure(`the runtime does not answer on ${this.socket}`)
  }

  /** Where what a runtime says on its standard error goes. */
  get #said(): string {
    return join(this.home, "..", "stderr")
  }

  async #endOf({ exitCode, signalCode }: ChildProcess): Promise<string> {
    const said = (await readFile(this.#said, "utf8").catch(() => "")).trim().slice(-1000)
    const how = signalCode ?? `status ${exitCode}`
    return `the runtime ended with ${how} as soon as it was started: ${this.command}${said && `: ${said}`}`
  }

  /**
   * Starts the command once more, for the same folder, which has to end by itself: how, and what it said. `before` is
   * put before it, `behind` behind it, in the shell's words.
   */
  async second(before = "", behind = ""): Promise<{ status: number; said: string }> {
    const line = `${before} exec ${this.command} ${behind}`
    const { status, stdout, stderr } = await runProgram(["/bin/sh", "-c", line], {
      cwd: process.cwd(),
      env: { OVMS_CONFORMANCE_HOME: this.home },
      limitMs: START_MS,
      signal: AbortSignal.timeout(START_MS),
    })
    return { status, said: `${stdout}${stderr}`.trim().slice(0, 500) }
  }

  /** Ends the runtime alone, at once, and returns when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGKILL")
    await gone
  }

  /** Has the runtime end in order, and returns when it is gone. */
  async end(signal: AbortSignal): Promise<void> {
    const child = this.#child
    child?.kill("SIGTERM")
    const gone = () => !child || child.exitCode !== null || child.signalCode !== null
    await within(START_MS, signal, "its end after SIGTERM", gone)
  }

  /** Ends all that there is of it, its machines too, and removes its folder. */
  async close(): Promise<void> {
    for (const made of this.#shared.values()) await made.then((one) => one.close()).catch(() => {})
    await this.forget()
    await this.kill()
    // Machines that a runtime which does not answer has left are known by their folder alone; and what is killed may
    // have begun something the moment before.
    for (let left = await this.processes(); left.length > 0; left = await this.processes()) {
      signal(left, "SIGKILL")
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await rm(join(this.home, ".."), { recursive: true, force: true, maxRetries: 5 })
  }

  /** What the runtime itself can end: its machines may have an environment of their own, without the mark. */
  forget(): Promise<void> {
    return this.#remove().catch(() => {})
  }

  async #remove(): Promise<void> {
    const ask = (method: string, path: string, body = "") =>
      exchange(this.socket, { method, path, signal: AbortSignal.timeout(10_000), ...(body && { body }) })
    const { warm } = JSON.parse((await ask("GET", "/info")).text)
    for (const { reference } of warm ?? [])
      await ask("POST", "/warm", JSON.stringify({ manifest: reference, slots: 0 }))
    const { text } = await ask("GET", "/instances")
    for (const { instance_id } of JSON.parse(text).instances)
      await ask("DELETE", `/instances/${instance_id}?force=true`)
  }
}
