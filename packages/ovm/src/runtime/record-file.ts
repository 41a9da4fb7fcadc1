import { toOvmError } from "../errors.ts"
import { type InstanceRecord, writeRecord } from "./record.ts"

/** How long until a record that could not be written is tried again. */
const AGAIN_MS = 1000

/** Keeps the record of one instance on disk: one write at a time, each of the newest state. */
export class RecordFile {
  #writing: Promise<void> = Promise.resolve()
  #again: NodeJS.Timeout | undefined
  /** Until it is: what is written sometime. */
  #unwritten: (() => InstanceRecord) | undefined
  #closed = false

  constructor(
    private readonly directory: string,
    /** There is no record yet. */
    private first: boolean,
  ) {}

  /** Writes what `record` gives then. Throws OVM_NO_SPACE and the like. */
  async write(record: () => InstanceRecord): Promise<void> {
    const work = this.#writing.then(() => {
      // The method of a stop, for one, may become known after the instance was removed.
      if (this.#closed) return
      clearTimeout(this.#again)
      try {
        writeRecord(this.directory, record(), this.first)
      } catch (thrown) {
        // Whatever could not be written now: what is to be written sometime still is.
        this.#later()
        throw thrown
      }
      this.first = false
      this.#unwritten = undefined
    })
    this.#writing = work.catch(() => {})
    await work.catch((thrown) => {
      throw toOvmError(thrown)
    })
  }

  /**
   * Writes as `write` does, but tries again later instead of throwing. For what is true whether or not it is written: a
   * full disk must not hold up the end of a machine (OVMS-STA-027).
   */
  async writeSometime(record: () => InstanceRecord): Promise<void> {
    this.#unwritten = record
    await this.write(record).catch(() => {})
  }

  #later(): void {
    const record = this.#unwritten
    if (record) this.#again = setTimeout(() => void this.writeSometime(record), AGAIN_MS).unref()
  }

  /** Tries what could not be written once more, before the daemon ends. */
  async lastTry(): Promise<void> {
    await this.#writing
    clearTimeout(this.#again)
    if (this.#unwritten) await this.write(this.#unwritten).catch(() => {})
  }

  /** Nothing is written from now on. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#again)
    await this.#writing
  }
}
