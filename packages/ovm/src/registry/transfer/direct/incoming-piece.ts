import { type Digest, type Sha256, sha256 } from "../../../content/digest.ts"
import { BATCH } from "../../../files/batch.ts"
import type { Extent } from "../../../files/extents.ts"
import { overwriteNow } from "../../../files/sparse.ts"
import { reserve } from "../../../host/libc.ts"
import { isWhole } from "./head.ts"
import type { Job } from "./protocol.ts"

/** Set aside ahead of what came, whatever the size of the piece (OVMS-LIM-004): a file system takes it at less cost. */
const AHEAD = 16 * 1024 * 1024
/**
 * Told of at once, of a piece and of a whole blob, and after so long: what is not told of is fetched again after a
 * kill.
 */
const NEWS = 2 * 1024 * 1024
const NEWS_OF_WHOLE = 8 * 1024 * 1024
const NEWS_MS = 200

/** Chunks below this are collected in the buffer, and larger ones written from where they are. */
const LARGE = BATCH / 4
/** A thread has one job at a time, and this stays in the cache. */
const buffer = Buffer.allocUnsafeSlow(BATCH)

/** One piece as it comes: written to its place, and hashed where it is the whole blob. */
export class IncomingPiece {
  readonly #hash: Sha256 | undefined
  /** Bytes of the buffer that came and are not written. */
  #filled = 0
  /** Everything before this byte is written, and was told of up to `#told`. */
  #at: number
  #told: number
  #toldAt = performance.now()
  /** Up to here the file has room set aside. */
  #reserved: number

  constructor(
    private readonly job: Job,
    private readonly onWritten: (at: number) => void,
  ) {
    const { start } = job.extent
    this.#at = start
    this.#told = start
    this.#reserved = start
    if (isWhole(job)) this.#hash = sha256()
  }

  /** Bytes that have still to come. */
  get left(): number {
    return this.job.extent.end - this.#at - this.#filled
  }

  /** Of the whole blob, once all of it is written. */
  get digest(): Digest | undefined {
    return this.#hash?.digest()
  }

  /** Takes what came, `left` bytes at most. Throws what writing throws. */
  add(chunk: Uint8Array): void {
    if (this.#filled === 0 && chunk.byteLength >= LARGE) this.#write(chunk)
    else this.#collect(chunk)
  }

  #collect(chunk: Uint8Array): void {
    for (let from = 0; from < chunk.byteLength; ) {
      const part = chunk.subarray(from, from + BATCH - this.#filled)
      buffer.set(part, this.#filled)
      this.#filled += part.byteLength
      from += part.byteLength
      if (this.#filled === BATCH || this.left === 0) this.#writeFilled()
    }
  }

  /** Writes what came, and tells of it. Throws what writing throws. */
  flush(): void {
    if (this.#filled > 0) this.#writeFilled()
    this.#tell()
  }

  #writeFilled(): void {
    const bytes = buffer.subarray(0, this.#filled)
    this.#filled = 0
    this.#write(bytes)
  }

  #write(bytes: Uint8Array): void {
    const { fd, size } = this.job
    this.#hash?.update(bytes)
    overwriteNow({ fd, size }, bytes, this.#at, (extent) => this.#reserve(extent))
    this.#at += bytes.byteLength
    const news = this.#hash ? NEWS_OF_WHOLE : NEWS
    if (this.#at - this.#told >= news || performance.now() - this.#toldAt >= NEWS_MS) this.#tell()
  }

  /** Where zeros come, what was set aside for them is given back as they are left out. */
  #reserve({ start, end }: Extent): void {
    if (end <= this.#reserved) return
    const { fd, extent } = this.job
    this.#reserved = Math.min(extent.end, start + AHEAD)
    reserve(fd, start, this.#reserved - start)
  }

  #tell(): void {
    if (this.#at > this.#told) this.onWritten(this.#at)
    this.#told = this.#at
    this.#toldAt = performance.now()
  }
}
