// POSIX.1-2017: pax, "ustar Interchange Format"; GNU tar's numbers and long names.

/** The header of an entry. Texts have a byte in each character. */
export interface Header {
  readonly name: string
  readonly link: string
  readonly size: number
  /** One character. */
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly seconds: number
  readonly device: readonly [number, number]
}

const SPACE = 32

/** Undefined where the 512 bytes are none, or say what cannot be. */
export function readTarHeader(bytes: Uint8Array): Header | undefined {
  let sum = 8 * SPACE
  for (let at = 0; at < 512; at++) if (at < 148 || at >= 156) sum += bytes[at] ?? 0
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (number(block, 148, 8) !== sum) return undefined
  const [mode, uid, gid] = [number(block, 100, 8), number(block, 108, 8), number(block, 116, 8)]
  const [size, seconds] = [number(block, 124, 12), number(block, 136, 12)]
  const device = [number(block, 329, 8) ?? 0, number(block, 337, 8) ?? 0] as const
  if (mode === undefined || uid === undefined || gid === undefined) return undefined
  if (size === undefined || size < 0 || seconds === undefined) return undefined
  // Where GNU has it, times stand in the place of the prefix.
  const prefix = block.toString("latin1", 257, 263) === "ustar\0" ? text(block, 345, 155) : ""
  const name = text(block, 0, 100)
  return {
    name: prefix ? `${prefix}/${name}` : name,
    link: text(block, 157, 100),
    size,
    type: String.fromCharCode(block[156] ?? 0),
    mode: mode & 0o7777,
    uid,
    gid,
    seconds,
    device,
  }
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at)
  return block.toString("latin1", at, end < 0 || end > at + length ? at + length : end)
}

/** Octal digits, none of them for 0, or GNU's binary form. */
function number(block: Buffer, at: number, length: number): number | undefined {
  const first = block[at] ?? 0
  if (first & 0x80) {
    // Two's complement.
    let value = (first & 0x3f) - (first & 0x40)
    for (let next = 1; next < length; next++) value = value * 256 + (block[at + next] ?? 0)
    return Number.isSafeInteger(value) ? value : undefined
  }
  const digits = text(block, at, length).trim()
  return /^[0-7]{0,12}$/.test(digits) ? Number.parseInt(digits || "0", 8) : undefined
}
