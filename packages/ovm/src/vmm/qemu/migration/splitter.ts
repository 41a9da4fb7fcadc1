import { type DeviceSection, readDevices } from "./devices.ts"
import { MAX_STATE, malformed } from "./format.ts"
import { type Configuration, type PageSink, parseHead, type RamBlock } from "./head.ts"

/** What `migrate-incoming` takes beside a RAM file: the stream without the pages of the one block. */
export interface DeviceState {
  readonly bytes: Buffer
  readonly configuration: Configuration
  readonly devices: readonly DeviceSection[]
}

/**
 * Splits a migration stream, as it comes, into the pages of one RAM block and everything else. Memory is bounded,
 * whatever the stream says and however it is cut into chunks: the state (at most 64 MiB) and one record. What it does
 * not know it refuses with OVM_VMM_FAILED and the byte: a page that is not understood would be a guest that is silently
 * broken.
 */
export class StreamSplitter {
  readonly #kept: Buffer[] = []
  #keptBytes = 0
  #received = 0
  readonly #parser: Iterator<number, Configuration, Buffer>
  /** Bytes of the next item, of which `#rest` is the beginning. */
  #wanted = 0
  #rest: Buffer = Buffer.alloc(0)
  #configuration: Configuration | undefined
  #headBytes = 0

  constructor(block: RamBlock, sink: PageSink) {
    this.#parser = parseHead(block, sink, (bytes) => this.#keep(bytes))
    this.#step(undefined)
  }

  /** Bytes so far. */
  get received(): number {
    return this.#received
  }

  push(chunk: Uint8Array): void {
    this.#received += chunk.length
    let left = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    if (this.#rest.length > 0) {
      // An item that straddles chunks is put together; all others are looked at where they are.
      const missing = this.#wanted - this.#rest.length
      this.#rest = Buffer.concat([this.#rest, left.subarray(0, missing)])
      left = left.subarray(missing)
      if (this.#rest.length < this.#wanted) return
      const item = this.#rest
      this.#rest = Buffer.alloc(0)
      this.#step(item)
    }
    let at = 0
    while (!this.#configuration && at + this.#wanted <= left.length) {
      const item = left.subarray(at, at + this.#wanted)
      at += this.#wanted
      this.#step(item)
    }
    left = left.subarray(at)
    if (this.#configuration) this.#keep(left)
    else this.#rest = Buffer.from(left)
  }

  /** The stream is over. Throws if it is not whole. */
  end(): DeviceState {
    const bytes = Buffer.concat(this.#kept)
    if (!this.#configuration) throw malformed(this.#received, "it ends before the devices' state")
    const devices = readDevices(bytes, this.#headBytes)
    return { bytes, configuration: this.#configuration, devices }
  }

  #step(item: Buffer | undefined): void {
    const { done, value } = item === undefined ? this.#parser.next() : this.#parser.next(item)
    if (done) {
      this.#configuration = value
      // The first device's section type is the last thing that the parser kept.
      this.#headBytes = this.#keptBytes - 1
    } else this.#wanted = value
  }

  #keep(bytes: Buffer): void {
    this.#keptBytes += bytes.length
    if (this.#keptBytes > MAX_STATE)
      throw malformed(this.#received, `the state has more than ${MAX_STATE} bytes`)
    if (bytes.length > 0) this.#kept.push(Buffer.from(bytes))
  }
}
