import { setTimeout as sleep } from "node:timers/promises"
import { type Guest, Refused, say } from "./contract.ts"
import { noteWhy, WORDS } from "./end.ts"
import { Monitor } from "./monitor.ts"

/** How long a QEMU that should be there has to take a connection. */
const OPEN_MS = 2000
/** How long a guest that stood still for its disk takes to stand still again. */
const AGAIN_MS = 200

/** A machine that runs, as long as somebody asks for it: its state is QEMU's, and this only listens. */
export class Machine {
  static readonly #open = new Map<string, Promise<Machine>>()
  #monitor: Monitor | undefined
  #watched = false
  #trouble: Guest | undefined
  #hopeless = false
  /** How often QEMU has told that the guest goes on. */
  #runs = 0

  private constructor(private readonly directory: string) {}

  /** The one in `directory`, whoever started it; it has so long to take a connection. */
  static in(directory: string, openMs = OPEN_MS): Promise<Machine> {
    const opening = Machine.#open.get(directory) ?? new Machine(directory).#connect(openMs)
    Machine.#open.set(directory, opening)
    opening.catch(() => Machine.#open.delete(directory))
    return opening
  }

  async #connect(openMs: number): Promise<Machine> {
    const ended = () => {
      Machine.#open.delete(this.directory)
      if (this.#watched) say({ event: "ended", directory: this.directory })
    }
    this.#monitor = await Monitor.in(this.directory, openMs, (name, data) => this.#hear(name, data), ended)
    return this
  }

  async execute(command: string): Promise<object> {
    const answer = await this.#monitor?.execute(command)
    return typeof answer === "object" && answer !== null ? answer : {}
  }

  /** Once it runs it is watched, too: that saves the runtime a question. */
  async start(): Promise<Guest> {
    this.#watched = true
    await this.go()
    return { running: true }
  }

  async watch(): Promise<Guest> {
    this.#watched = true
    return await this.#look()
  }

  /** Lets the guest run, and says so only if it does. */
  async go(): Promise<object> {
    const [before, runs] = [this.#trouble, this.#runs]
    try {
      await this.execute("cont")
    } catch (error) {
      // A short guest may have ended before QEMU has answered, and QEMU with it: it has run.
      if (this.#monitor?.isClosed) return {}
      throw error
    }
    if (before) await sleep(AGAIN_MS)
    // QEMU has told of it before it answers.
    else if (this.#runs > runs) return {}
    // Most of them still run by now; one that does not has run.
    const guest = await this.#look().catch(() => ({ running: true }) as Guest)
    const { running, reason = "request", message = reason } = guest
    if (running || this.#hopeless) return {}
    const code = reason === "disk-full" ? "OVM_NO_SPACE" : "OVM_VMM_FAILED"
    throw new Refused(code, `the guest stands still again: ${message}`)
  }

  /** A paused guest goes on first: QEMU 7.2 hangs if it is told to while its guest powers off. */
  async press(): Promise<object> {
    if ((await this.#status()) === "paused") await this.execute("cont")
    return await this.execute("system_powerdown")
  }

  async #status(): Promise<string> {
    return String(((await this.execute("query-status")) as { status?: unknown }).status)
  }

  async #look(): Promise<Guest> {
    const status = await this.#status()
    if (status === "prelaunch") {
      // Whoever started it ended before it ran.
      await this.go()
      return { running: true }
    }
    if (status === "guest-panicked") this.#end("guest-panic")
    if (status === "internal-error") this.#end(status)
    if (status !== "io-error") return { running: status === "running", reason: "request" }
    const disks = Object.values(await this.execute("query-block")) as { "io-status"?: string }[]
    const full = disks.some((disk) => disk["io-status"] === "nospace")
    this.#trouble ??= { running: false, reason: full ? "disk-full" : "io-error" }
    return this.#trouble
  }

  #hear(name: string, data: Readonly<Record<string, unknown>>): void {
    if (name === "RESUME") {
      this.#runs++
      this.#trouble = undefined
      this.#tell({ running: true })
    } else if (name === "STOP") this.#tell(this.#trouble ?? { running: false, reason: "request" })
    else if (name === "BLOCK_IO_ERROR" && data.action === "stop") {
      const full = data.nospace === true || /quota|too large/.test(String(data.reason))
      const message = `${data.operation}: ${data.reason}`
      this.#trouble = { running: false, reason: full ? "disk-full" : "io-error", message }
    } else if (name === "GUEST_PANICKED" && data.action !== "run") this.#end("guest-panic")
    else if (name === "SHUTDOWN" && !this.#hopeless) {
      const reason = String(data.reason)
      noteWhy(this.directory, WORDS[reason] ?? reason)
    }
  }

  #tell(guest: Guest): void {
    if (this.#watched) say({ event: "guest", directory: this.directory, ...guest })
  }

  /** The guest cannot go on (OVMS-ADP-036). */
  #end(why: string): void {
    this.#hopeless = true
    noteWhy(this.directory, why)
    void this.execute("quit").catch(() => {})
  }
}
