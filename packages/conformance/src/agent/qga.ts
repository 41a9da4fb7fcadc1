import { type ChildProcess, spawn } from "node:child_process"
import { type FileHandle, open } from "node:fs/promises"
import { createConnection, type Socket } from "node:net"
import { constants } from "node:os"
import { packed, shortened, Unpacking } from "./stand-in.ts"

type Values = Readonly<Record<string, unknown>>

/** What was asked for, as it came. */
export interface QgaAsked {
  readonly command: string
  readonly values: Values
}

interface Ran {
  readonly child: ChildProcess
  out: Buffer
  err: Buffer
}

/** Before what answers guest-sync-delimited. */
const SENTINEL = 0xff

/**
 * QEMU's guest agent (its docs/interop/qemu-ga-ref), by a socket that leads to its port. Commands are really run, and
 * files are there, of the suite's own host; file systems and the clock are left alone.
 */
export class Qga {
  readonly asked: QgaAsked[] = []
  /** Whether file systems are frozen, as far as it says. */
  frozen = true
  #held = Buffer.alloc(0)
  #noise = true
  #unpacking = new Unpacking()
  #files: FileHandle[] = []
  #ran: Ran[] = []
  #over = false
  #last = Promise.resolve()

  private constructor(
    private readonly socket: Socket,
    private readonly temporary: string,
  ) {
    socket.on("error", () => {})
    socket.on("data", (bytes: Buffer) => this.#take(bytes))
  }

  /** `temporary`: where its commands make files of their own. */
  static connect(path: string, temporary: string): Promise<Qga> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path: shortened(path) })
      const agent = new Qga(socket, temporary)
      socket.once("error", reject)
      socket.once("connect", () => {
        socket.write(Buffer.of(0x55))
        resolve(agent)
      })
    })
  }

  of(command: string): QgaAsked[] {
    return this.asked.filter((one) => one.command === command)
  }

  async close(): Promise<void> {
    this.#over = true
    this.socket.destroy()
    for (const { child } of this.#ran) child.kill("SIGKILL")
    for (const file of this.#files) await file.close().catch(() => {})
  }

  #take(bytes: Buffer): void {
    this.#held = Buffer.concat([this.#held, this.#unpacking.push(bytes)])
    for (let at = this.#held.indexOf(10); at >= 0; at = this.#held.indexOf(10)) {
      const line = this.#held.subarray(0, at)
      this.#held = this.#held.subarray(at + 1)
      const text = line.subarray(line.lastIndexOf(SENTINEL) + 1).toString()
      // One after the other, as that program does.
      this.#last = this.#last.then(() => this.#answer(text))
    }
  }

  async #answer(line: string): Promise<void> {
    let request: { execute?: string; arguments?: Values }
    try {
      request = JSON.parse(line)
    } catch {
      return // What was half said before.
    }
    const command = request.execute ?? ""
    const values = request.arguments ?? {}
    this.asked.push({ command, values })
    const sync = command === "guest-sync-delimited"
    // What comes before that answer means nothing.
    if (sync && this.#noise) this.socket.write(packed(Buffer.from('{"return": 1}\n{"error": {}}\nnoise\n')))
    if (sync) this.#noise = false
    const said = await this.#done(command, values).then(
      (value) => ({ return: value }),
      (error: Error) => ({ error: { class: "GenericError", desc: error.message } }),
    )
    const text = Buffer.from(`${JSON.stringify(said)}\n`)
    this.socket.write(packed(sync ? Buffer.concat([Buffer.of(SENTINEL), text]) : text))
  }

  async #done(command: string, values: Values): Promise<unknown> {
    switch (command) {
      case "guest-sync-delimited":
      case "guest-sync":
        return values.id
      case "guest-info":
        return { version: "8.0.0", supported_commands: [] }
      case "guest-ping":
      case "guest-set-time":
        return {}
      case "guest-get-time":
        return Date.now() * 1e6
      case "guest-fsfreeze-status":
        return this.frozen ? "frozen" : "thawed"
      case "guest-fsfreeze-freeze":
        this.frozen = true
        return 1
      case "guest-fsfreeze-thaw":
        this.frozen = false
        return 1
      case "guest-exec":
        return { pid: this.#execute(values) }
      case "guest-exec-status":
        return this.#status(Number(values.pid))
      case "guest-file-open":
        return this.#files.push(await this.#opened(values)) - 1
      default:
        return await this.#withFile(command, values)
    }
  }

  async #opened({ path, mode }: Values): Promise<FileHandle> {
    const file = await open(String(path), mode === "w" ? "w" : "r")
    if (this.#over) await file.close()
    return file
  }

  async #withFile(command: string, values: Values): Promise<unknown> {
    const file = this.#files[Number(values.handle)]
    if (!file || !command.startsWith("guest-file-")) throw new Error(`${command} is not known`)
    if (command === "guest-file-close") return await file.close().then(() => ({}))
    if (command === "guest-file-flush") return {}
    if (command === "guest-file-write") {
      const { bytesWritten } = await file.write(Buffer.from(String(values["buf-b64"]), "base64"))
      return { count: bytesWritten, eof: false }
    }
    const { bytesRead, buffer } = await file.read(Buffer.alloc(Number(values.count ?? 4096)))
    return { count: bytesRead, "buf-b64": buffer.toString("base64", 0, bytesRead), eof: bytesRead === 0 }
  }

  #execute(values: Values): number {
    const pairs = ((values.env ?? []) as string[]).map((one) => one.split(/=(.*)/s).slice(0, 2))
    const child = spawn(String(values.path), (values.arg ?? []) as string[], {
      env: { PATH: process.env.PATH, TMPDIR: this.temporary, ...Object.fromEntries(pairs) },
      cwd: "/",
      stdio: "pipe",
    })
    const ran: Ran = { child, out: Buffer.alloc(0), err: Buffer.alloc(0) }
    child.on("error", () => {})
    child.stdout?.on("data", (bytes: Buffer) => (ran.out = Buffer.concat([ran.out, bytes])))
    child.stderr?.on("data", (bytes: Buffer) => (ran.err = Buffer.concat([ran.err, bytes])))
    child.stdin?.on("error", () => {})
    child.stdin?.end(Buffer.from(String(values["input-data"] ?? ""), "base64"))
    this.#ran.push(ran)
    if (child.pid === undefined) throw new Error(`${values.path} cannot be run`)
    return child.pid
  }

  #status(pid: number): unknown {
    const ran = this.#ran.find(({ child }) => child.pid === pid)
    if (!ran) throw new Error(`there is no process ${pid}`)
    const { exitCode, signalCode } = ran.child
    if (exitCode === null && signalCode === null) return { exited: false }
    return {
      exited: true,
      ...(exitCode === null
        ? { signal: constants.signals[signalCode ?? "SIGKILL"] }
        : { exitcode: exitCode }),
      "out-data": ran.out.toString("base64"),
      "err-data": ran.err.toString("base64"),
    }
  }
}
