import { isObject } from "../../objects.ts"
import { type QgaChannel, Refused } from "./channel.ts"

/** Of a file at once: what it becomes in base64 has room in one answer. */
const PIECE = 96 << 10

/** A file of the guest that its agent has open. */
export class GuestFile {
  private constructor(
    private readonly line: QgaChannel,
    private readonly handle: number,
  ) {}

  /** `mode` as of fopen(3). Throws Refused. */
  static async open(line: QgaChannel, path: string, mode: "r" | "w"): Promise<GuestFile> {
    const handle = await line.ask("guest-file-open", { path, mode })
    if (typeof handle === "number" && Number.isSafeInteger(handle)) return new GuestFile(line, handle)
    throw new Refused(`it has not opened ${path}`)
  }

  /** What comes next; nothing at what is its end just now. Throws Refused. */
  async read(): Promise<Uint8Array> {
    const { handle } = this
    const found = await this.line.ask("guest-file-read", { handle, count: PIECE })
    const text = isObject(found) ? found["buf-b64"] : undefined
    const bytes = Buffer.from(typeof text === "string" ? text : "", "base64")
    if (typeof text === "string" && bytes.length <= PIECE) return bytes
    throw new Refused("it says of a file what it was not asked")
  }

  /** Throws Refused. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = Buffer.from(bytes.subarray(at, at + PIECE))
      const values = { handle: this.handle, "buf-b64": piece.toString("base64") }
      const found = await this.line.ask("guest-file-write", values)
      if (!isObject(found) || found.count !== piece.length)
        throw new Refused("it has written less than it was given")
    }
  }

  /** Throws Refused: of what was written, something may be lost. */
  async close(): Promise<void> {
    const { handle } = this
    await this.line.ask("guest-file-close", { handle })
  }
}
