import { spawnSync } from "node:child_process"
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { copyChecked } from "@ovms/testkit/checked.ts"
import { socketPair, unixConnection, waits } from "../../ovm/src/host/libc.ts"

export const SHIPPED = join(import.meta.dir, "../dist/ovm-filter")
const SOURCES = join(import.meta.dir, "../src")

/** A folder with the program, compiled with sanitizers. */
export class Workshop implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "ovm-filter-"))
  readonly #checked = join(this.root, "checked")

  constructor() {
    copyChecked(SOURCES, this.#checked)
  }

  /** Starts it as ovm does, between two ends of ours. Throws what it says if it does not start. */
  start(request: string | Uint8Array, program = this.#checked): Between {
    const path = join(this.root, "request")
    writeFileSync(path, request)
    const [guest, ours] = socketPair()
    const [outside, theirs] = socketPair()
    const [asked, itself] = [path, program].map((name) => openSync(name, "r"))
    const { status, stderr } = spawnSync(program, [], {
      cwd: this.root,
      stdio: ["ignore", "ignore", "pipe", asked, itself, guest, outside],
    })
    for (const fd of [guest, outside, asked, itself]) closeSync(fd ?? -1)
    if (status === 0) return new Between(ours, theirs, join(this.root, "ports.sock"))
    for (const fd of [ours, theirs]) closeSync(fd)
    throw new Error(`status ${status}: ${stderr}`)
  }

  /** How many descriptors the one that runs has, once those before it have ended. */
  descriptors(): number {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && exeOf(name) === this.#checked)
    return pids.length > 1 ? this.descriptors() : readdirSync(`/proc/${pids[0]}/fd`).length
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true })
  }
}

function exeOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return ""
  }
}

const LENGTH = 4

/** Behind its length, as QEMU and passt write it. */
export function framed(frame: Uint8Array): Buffer {
  const length = Buffer.alloc(LENGTH)
  length.writeUInt32BE(frame.length)
  return Buffer.concat([length, frame])
}

/** The guest's end of a filter, and that of what is behind it. */
export class Between implements Disposable {
  #open: readonly number[]
  constructor(
    readonly guest: number,
    readonly outside: number,
    private readonly socket: string,
  ) {
    this.#open = [guest, outside]
  }

  /** Which of `frames` come out at the other end. The last one has to. */
  through(from: "guest" | "outside", frames: readonly Uint8Array[]): Buffer[] {
    const [in_, out] = from === "guest" ? this.#open : this.#open.toReversed()
    const all = Buffer.concat(frames.map(framed))
    for (let at = 0; at < all.length; ) at += writeSync(in_ ?? -1, all, at)
    const came: Buffer[] = []
    const last = Buffer.from(frames.at(-1) ?? [])
    while (!came.at(-1)?.equals(last)) came.push(receive(out ?? -1))
    return came
  }

  /** A connection to its socket, on which that was said. */
  dial(request: string): number {
    const fd = unixConnection(this.socket)
    if (fd === undefined) throw new Error("nobody listens")
    waits(fd)
    writeSync(fd, request)
    this.#open = [...this.#open, fd]
    return fd
  }

  /** What it answers in full. */
  ask(request: string): string {
    return rest(this.dial(`${request}\n`))
  }

  /** The outside of a port that is added. */
  add(port: string): number {
    return this.#good(`add ${port}\n`)
  }

  /** A connection that ends when an added port does. */
  watch(): number {
    return this.#good("watch\n")
  }

  #good(request: string): number {
    const fd = this.dial(request)
    const said = exactly(fd, "ok\n".length).toString()
    if (said !== "ok\n") throw new Error(said + rest(fd))
    return fd
  }

  hangUp(fd: number): void {
    closeSync(fd)
    this.#open = this.#open.filter((one) => one !== fd)
  }

  close(end: "guest" | "outside"): void {
    closeSync(this[end])
    this.#open = this.#open.filter((fd) => fd !== this[end])
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open) closeSync(fd)
    this.#open = []
  }
}

export function send(fd: number, ...frames: readonly Uint8Array[]): void {
  const all = Buffer.concat(frames.map(framed))
  for (let at = 0; at < all.length; ) at += writeSync(fd, all, at)
}

/** All that comes until the other end is closed. */
export function rest(fd: number): string {
  const bytes = Buffer.alloc(1 << 14)
  let said = ""
  for (;;) {
    const got = readSync(fd, bytes)
    if (got === 0) return said
    said += bytes.toString("latin1", 0, got)
  }
}

/** One frame. Throws once the other end is closed. */
export function receive(fd: number): Buffer {
  return exactly(fd, exactly(fd, LENGTH).readUInt32BE())
}

/** The frames of one read(2), as passt does it. Throws for a last one that is not whole, and once all is over. */
export function receiveAll(fd: number): Buffer[] {
  const bytes = Buffer.alloc(8 << 20)
  const size = readSync(fd, bytes)
  if (size === 0) throw new Error("the filter has ended")
  const frames: Buffer[] = []
  let at = 0
  while (at < size) {
    if (size - at < LENGTH) throw new Error("a length in two pieces")
    const end = at + LENGTH + bytes.readUInt32BE(at)
    if (end > size) throw new Error("a frame in two pieces")
    frames.push(bytes.subarray(at + LENGTH, end))
    at = end
  }
  return frames
}

function exactly(fd: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const got = readSync(fd, bytes, at, length - at, null)
    if (got === 0) throw new Error("the filter has ended")
    at += got
  }
  return bytes
}
