import { OvmError } from "../../errors.ts"
import type { Client } from "../interfaces.ts"
import type { FolderUpload } from "./upload.ts"

/** What unfinished uploads may take of a registry (docs/design/0029). */
export interface UploadLimits {
  /** Open ones of all clients, and of each. */
  readonly all: number
  readonly each: number
  /** Bytes that a client may have in unfinished uploads, who is known by name or not; infinite for no limit. */
  readonly namedBytes: number
  readonly anonymousBytes: number
}

export const UPLOAD_LIMITS: UploadLimits = {
  all: 1000,
  each: 100,
  namedBytes: Number.POSITIVE_INFINITY,
  anonymousBytes: 1.25 * 2 ** 30,
}

/** As many clients as may fill their share of bytes at once where nobody has a name. */
const SHARES = 4

/** The uploads that are open, and whose they are: one client's do not keep others from theirs. */
export class Uploads {
  readonly #open = new Map<string, FolderUpload>()

  constructor(private readonly limits: UploadLimits) {}

  get(id: string): FolderUpload | undefined {
    return this.#open.get(id)
  }

  add(upload: FolderUpload): void {
    this.#open.set(upload.id, upload)
  }

  delete(id: string): void {
    this.#open.delete(id)
  }

  all(): readonly FolderUpload[] {
    return [...this.#open.values()]
  }

  /**
   * Makes room for one more of `client`. At a limit the upload goes of which the least is lost: one without bytes, then
   * the one that was left alone for longest. Throws OVM_TOO_MANY if a request works on each.
   */
  async makeRoom(client: Client): Promise<void> {
    if (this.#of(client).length >= this.limits.each) await this.#drop(this.#of(client))
    if (this.#open.size >= this.limits.all) await this.#drop(this.all())
  }

  /**
   * Makes room for what has come of an upload. Throws OVM_TOO_LARGE if the client has as many as it may in uploads that
   * are worked on.
   */
  async admit(upload: FolderUpload): Promise<void> {
    const { client } = upload
    const most = client.named ? this.limits.namedBytes : this.limits.anonymousBytes
    if (most === Number.POSITIVE_INFINITY) return
    const among = [
      [() => this.#of(client), most],
      [() => this.all().filter((other) => other.client.named === client.named), most * SHARES],
    ] as const
    for (const [uploads, limit] of among)
      while (sum(uploads()) > limit) {
        const others = uploads().filter((other) => other !== upload && other.size > 0)
        await this.#drop(others).catch(() => {
          throw new OvmError(
            "OVM_TOO_LARGE",
            `the unfinished uploads of ${client.id} are above ${limit} bytes`,
          )
        })
      }
  }

  /** Ends those that nobody went on with for `ms`. */
  async expire(ms: number): Promise<void> {
    const oldest = Date.now() - ms
    for (const upload of this.all()) if (!upload.busy && upload.touched < oldest) await upload.cancel()
  }

  #of(client: Client): FolderUpload[] {
    return this.all().filter((upload) => upload.client.id === client.id)
  }

  async #drop(uploads: readonly FolderUpload[]): Promise<void> {
    const [first] = uploads
      .filter(({ busy }) => !busy)
      .sort((one, other) => Number(one.size > 0) - Number(other.size > 0) || one.touched - other.touched)
    if (!first) throw new OvmError("OVM_TOO_MANY", "as many uploads are open as there may be")
    await first.cancel()
  }
}

function sum(uploads: readonly FolderUpload[]): number {
  return uploads.reduce((bytes, { size }) => bytes + size, 0)
}
