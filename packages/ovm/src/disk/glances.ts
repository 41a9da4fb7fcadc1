import { readAhead } from "../host/libc.ts"
import type { DiskReader } from "./file.ts"

/** So much of a cluster tells, as a rule, that it is not all zero, or another one. */
export const GLANCE = 4096
/** So much of a file the kernel begins to read, in bytes, half of it before it is looked at. */
const AHEAD = 2 << 20

/** Looks at the beginnings of clusters, about in the order in which they are in their file. */
export class Glances {
  readonly #into = Buffer.allocUnsafeSlow(GLANCE)
  #disk: DiskReader | undefined
  #from = 0
  #to = 0

  /** `length` bytes at `place`, GLANCE at most, which are there until the next look. Throws OVM_DISK_INVALID. */
  at(disk: DiskReader, place: number, length = GLANCE): Buffer {
    if (disk !== this.#disk || place < this.#from || place > this.#to) {
      this.#disk = disk
      this.#from = this.#to = place
    }
    if (place + AHEAD / 2 > this.#to) {
      readAhead(disk.fd, this.#to, AHEAD)
      this.#to += AHEAD
    }
    const bytes = this.#into.subarray(0, length)
    disk.readNow(place, bytes, "data")
    return bytes
  }
}
