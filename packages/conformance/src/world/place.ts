import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { readdirSync, readlinkSync } from "node:fs"
import { signal as send } from "../subject/processes.ts"
import { Peer } from "./peer.ts"

/** A network namespace of the suite's own, which is there as long as a process of the suite keeps it. */
export class Place {
  #peer: Peer | undefined

  private constructor(
    private readonly keeper: ChildProcess,
    /** The words before a command that is run in it. */
    readonly inside: readonly string[],
  ) {}

  /** By a command that makes it, says so in a line, and waits for the end of its input; undefined if it cannot. */
  static async create(command: readonly string[], entering: readonly string[]): Promise<Place | undefined> {
    const [file = "", ...args] = command
    const keeper = spawn(file, args, { stdio: ["pipe", "pipe", "ignore"] })
    const ready = await new Promise<boolean>((resolve) => {
      keeper.on("error", () => resolve(false)).on("exit", () => resolve(false))
      keeper.stdout.once("data", () => resolve(true))
    })
    return ready ? new Place(keeper, ["nsenter", "-t", `${keeper.pid}`, ...entering]) : undefined
  }

  get pid(): number {
    return this.keeper.pid ?? 0
  }

  /** What a command writes that is run in it. Throws with its words if it fails. */
  run(...command: readonly string[]): string {
    return this.#run(command, "")
  }

  /** Has `ip` do each of the lines, all by one process. Throws with its words if one of them fails. */
  ip(...lines: readonly string[]): void {
    this.#run(["ip", "-batch", "-"], lines.map((line) => `${line}\n`).join(""))
  }

  #run(command: readonly string[], input: string): string {
    const [file = "", ...args] = [...this.inside, ...command]
    const { status, stdout, stderr } = spawnSync(file, args, { input, encoding: "utf8", timeout: 30_000 })
    if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr.trim() || `status ${status}`}`)
    return stdout
  }

  /** Who speaks and listens there for the suite. */
  peer(): Peer {
    this.#peer ??= Peer.start(this.inside)
    return this.#peer
  }

  /** Ends whatever runs in it as well: networks outlive their runtime, and so does what serves them. */
  close(): void {
    this.#peer?.close()
    const own = namespaceOf(this.pid)
    const all = own === undefined || own === namespaceOf(process.pid) ? [] : readdirSync("/proc").map(Number)
    send(
      all.filter((pid) => pid > 0 && namespaceOf(pid) === own),
      "SIGKILL",
    )
    this.keeper.kill("SIGKILL")
  }
}

/** The network namespace of a process; undefined where it has ended, or is somebody else's. */
function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}
