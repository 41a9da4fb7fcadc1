import { dlopen, ptr } from "bun:ffi"
import { isIPv4 } from "node:net"
import { OvmError } from "../../../errors.ts"

// A TCP connection that a thread waits on, by the C library: bytes come into memory that is ours and stays where it is,
// so that they are copied once on their way to the file. (socket(7), tcp(7), recv(2), poll(2))

const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0x80000
const SOL_SOCKET = 1
const SO_RCVTIMEO = 20
const SO_SNDTIMEO = 21
const MSG_WAITALL = 0x100
const MSG_NOSIGNAL = 0x4000
const POLLIN = 1
const POLLOUT = 4
const POLLERR = 8
const POLLHUP = 16
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]

let library: ReturnType<typeof open> | undefined

export class Socket implements Disposable {
  private constructor(private readonly fd: number) {}

  /**
   * A connection to `address`, which gives up each wait after `tickMs`; `waits` is asked whether to go on then.
   * Undefined if there is none to be had.
   */
  static connect(address: string, port: number, tickMs: number, waits: () => boolean): Socket | undefined {
    library ??= open()
    const fd = library.socket(isIPv4(address) ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)
    if (fd < 0) return undefined
    const socket = new Socket(fd)
    socket.#setTick(tickMs)
    const name = socketAddress(address, port)
    if (library.connect(fd, ptr(name), name.byteLength) === 0) return socket
    // Refused, or not there yet: a connection that failed is hung up.
    while (waits()) {
      const state = socket.#poll(POLLOUT, tickMs)
      if (state & (POLLERR | POLLHUP)) break
      if (state & POLLOUT) return socket
    }
    socket[Symbol.dispose]()
    return undefined
  }

  /** False if not all of it could be sent. */
  send(text: string): boolean {
    const bytes = Buffer.from(text, "latin1")
    return Number(library?.send(this.fd, ptr(bytes), bytes.byteLength, MSG_NOSIGNAL)) === bytes.byteLength
  }

  /**
   * Receives into `buffer` from `at` on, `length` bytes if `all`, else what there is. Returns how many came: fewer,
   * perhaps none, when the time was up; undefined at the end of the connection.
   */
  receive(buffer: Uint8Array, at: number, length: number, all: boolean): number | undefined {
    const flags = all ? MSG_WAITALL : 0
    const count = Number(library?.recv(this.fd, ptr(buffer, at), length, flags))
    if (count > 0) return count
    if (count === 0) return undefined
    // Nothing came in time, or the connection broke; the latter can be seen without errno, which is not ours to read.
    return this.#poll(POLLIN, 0) & (POLLERR | POLLHUP) ? undefined : 0
  }

  /** True if the other side has neither closed the connection nor sent what nobody asked for. */
  get idle(): boolean {
    return this.#poll(POLLIN, 0) === 0
  }

  #poll(events: number, timeoutMs: number): number {
    const entry = new DataView(new ArrayBuffer(8))
    entry.setInt32(0, this.fd, true)
    entry.setInt16(4, events, true)
    const bytes = new Uint8Array(entry.buffer)
    return Number(library?.poll(ptr(bytes), 1, timeoutMs)) > 0 ? entry.getInt16(6, true) : 0
  }

  #setTick(ms: number): void {
    const time = new BigInt64Array([BigInt(Math.floor(ms / 1000)), BigInt(Math.round((ms % 1000) * 1000))])
    for (const option of [SO_RCVTIMEO, SO_SNDTIMEO])
      library?.setsockopt(this.fd, SOL_SOCKET, option, ptr(time), time.byteLength)
  }

  [Symbol.dispose](): void {
    library?.close(this.fd)
  }
}

function socketAddress(address: string, port: number): Uint8Array {
  const bytes = new Uint8Array(isIPv4(address) ? 16 : 28)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, isIPv4(address) ? AF_INET : AF_INET6, true)
  view.setUint16(2, port)
  if (isIPv4(address)) bytes.set(address.split(".").map(Number), 4)
  else bytes.set(groups(address), 8)
  return bytes
}

/** The 16 bytes of an IPv6 address as URLs write them: no zone and no IPv4 in it. */
function groups(address: string): number[] {
  const [left = "", right] = address.split("::")
  const parse = (text: string) =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16))
  const [head, tail] = [parse(left), parse(right ?? "")]
  const gap = right === undefined ? 0 : 8 - head.length - tail.length
  return [...head, ...new Array<number>(gap).fill(0), ...tail].flatMap((group) => [group >> 8, group & 255])
}

function open() {
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, {
        socket: { args: ["i32", "i32", "i32"], returns: "i32" },
        connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
        setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
        send: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
        recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
        poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
        close: { args: ["i32"], returns: "i32" },
      }).symbols
    } catch {
      // The next name is tried; the error below says that none was there.
    }
  }
  throw new OvmError("OVM_INTERNAL", `no C library could be opened: tried ${LIBRARIES.join(", ")}`)
}
