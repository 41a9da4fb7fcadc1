import { spawn, spawnSync } from "node:child_process"
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { copyChecked } from "@ovms/testkit/checked.ts"
import { receive, send } from "../../filter/test/filter.testing.ts"
import { socketPair, unixConnection } from "../../ovm/src/host/libc.ts"

export const SHIPPED = join(import.meta.dir, "../dist/ovm-tap")
const SOURCES = join(import.meta.dir, "../src")
const VMM = [process.execPath, join(import.meta.dir, "vmm.testing.ts")]
/** As Linux has it: flags, kind, lengths, and where a checksum is to be made. */
const HEADER = 12
const NEEDS_CHECKSUM = 1

/** Why it cannot be tried here; empty if it can. */
export function tapMissing(): string {
  const { status, stderr } = spawnSync(SHIPPED, ["loose", "true"])
  return status === 0 ? "" : `(skipped: ${stderr})`
}

/** What a guest leaves to its interface. */
export interface Left {
  /** Where the checksummed part begins, and where in that the sum is to be. */
  readonly checksum?: readonly [number, number]
}

/** A folder with the program, compiled with sanitizers. */
export class Workshop implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "ovm-tap-"))
  readonly #checked = join(this.root, "checked")

  constructor() {
    copyChecked(SOURCES, this.#checked)
  }

  /** A VMM with a link, and what carries its frames; `before` are words that the program is started by. */
  async start(
    state: "up" | "down",
    before: readonly string[] = [],
    program = this.#checked,
  ): Promise<Beside> {
    const [vmms, link] = socketPair()
    const [voice, heard] = socketPair()
    const itself = openSync(program, "r")
    const [command = "", ...words] = [...before, program, state, ...VMM]
    const child = spawn(command, words, {
      stdio: [heard, "pipe", "inherit", "ignore", "ignore", "ignore", vmms, "ignore", itself],
      cwd: this.root,
    })
    for (const fd of [vmms, itself, heard]) closeSync(fd)
    const lines = createInterface(child.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]()
    const { value } = await lines.next()
    if (value !== "ready") throw new Error(`it said ${value}`)
    return new Beside({ child, lines, link, voice, plug: join(this.root, "plug.sock") })
  }

  /** Those that carry. */
  carriers(program = this.#checked): string[] {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name))
    return pids.filter((pid) => attempt(() => readlinkSync(`/proc/${pid}/exe`)) === program)
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true })
  }
}

interface Parts {
  readonly child: ReturnType<typeof spawn>
  readonly lines: AsyncIterator<string>
  readonly link: number
  readonly plug: string
  readonly voice: number
}

/** A VMM, and the other end of its link. */
export class Beside implements Disposable {
  #open: readonly number[]
  constructor(readonly parts: Parts) {
    this.#open = [parts.link, parts.voice]
  }

  get pid(): number {
    return this.parts.child.pid ?? 0
  }

  /** The guest sends it. */
  say(frame: Uint8Array, { checksum }: Left = {}): void {
    const header = Buffer.alloc(HEADER)
    if (checksum) {
      header[0] = NEEDS_CHECKSUM
      header.writeUInt16LE(checksum[0], 6)
      header.writeUInt16LE(checksum[1], 8)
    }
    const line = `${Buffer.concat([header, frame]).toString("hex")}\n`
    for (let at = 0; at < line.length; ) at += writeSync(this.parts.voice, line.slice(at))
  }

  /** The next frame that leaves. Throws once nothing carries any more. */
  left(): Buffer {
    return receive(this.parts.link)
  }

  send(...frames: readonly Uint8Array[]): void {
    send(this.parts.link, ...frames)
  }

  /** The next frame that the guest gets. */
  async got(): Promise<Buffer> {
    return Buffer.from(String((await this.parts.lines.next()).value), "hex")
  }

  cut(): void {
    closeSync(this.parts.link)
    this.#open = [this.parts.voice]
  }

  plugIn(): void {
    closeSync(unixConnection(this.parts.plug) ?? -1)
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open) closeSync(fd)
    this.parts.child.kill("SIGKILL")
  }
}

/** A line of /proc/PID/status. */
export function statusOf(pid: string, name: string): string {
  const text = readFileSync(`/proc/${pid}/status`, "utf8")
  return new RegExp(`^${name}:\\s+(.*)$`, "m").exec(text)?.[1] ?? ""
}

/** Frames that the interface of a VMM has had of its guest. */
export function receivedBy(pid: number): number {
  const line = /^\s*net0:\s*\d+\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/net/dev`, "utf8"))
  return Number(line?.[1])
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
