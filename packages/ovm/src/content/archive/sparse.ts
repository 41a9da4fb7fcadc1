import type { Extent } from "../../files/extents.ts"
import { ZEROS } from "../../files/zeros.ts"
import type { Bytes } from "../interfaces.ts"
import type { TarInput } from "./input.ts"

// Files with holes as GNU tar writes them: of an entry of its own type, or by records of a pax header in one of three
// forms (GNU tar's manual, "Storing Sparse Files"). All say where in the file each piece belongs that is stored.

/** A file with holes: the pieces that are stored one after the other, in order, and the size of all of it. */
export interface Sparse {
  readonly pieces: readonly Extent[]
  readonly size: number
  /** Of the file, where its entry has another name. */
  readonly name?: string
}

/** Records of a pax header, in order, that begin so. */
export type SparseRecords = readonly (readonly [key: string, value: string])[]
export const SPARSE_PREFIX = "GNU.sparse."

const BLOCK = 512
/** More than any disk that was ever written by a file system. */
const MOST_PIECES = 1 << 18

interface Reading {
  readonly input: TarInput
  /** A field of a header as a number; undefined for what is none. */
  readonly number: (field: Uint8Array) => number | undefined
}

/** The map of an entry of the type S, whose header is `block`. Undefined for what is none. */
export async function sparseOfHeader(
  block: Uint8Array,
  { input, number }: Reading,
): Promise<Sparse | undefined> {
  const size = number(block.subarray(483, 495))
  const pieces: (Extent | undefined)[] = pairsIn(block.subarray(386, 482), number)
  for (let more = block[482] === 1; more; ) {
    const next = await input.read(BLOCK)
    if (next.byteLength < BLOCK || pieces.length > MOST_PIECES) return undefined
    pieces.push(...pairsIn(next.subarray(0, 504), number))
    more = next[504] === 1
  }
  return size === undefined ? undefined : mapOf(pieces, size)
}

/** Places and lengths in octal, as far as there are some. */
function pairsIn(bytes: Uint8Array, number: Reading["number"]): (Extent | undefined)[] {
  const found: (Extent | undefined)[] = []
  for (let at = 0; at + 24 <= bytes.length && bytes[at] !== 0; at += 24)
    found.push(extent(number(bytes.subarray(at, at + 12)), number(bytes.subarray(at + 12, at + 24))))
  return found
}

/** The map that these records say, or that is at the begin of the entry's content. Undefined for what is none. */
export async function sparseOfRecords(records: SparseRecords, input: TarInput): Promise<Sparse | undefined> {
  const of = (key: string) => records.findLast(([one]) => one === SPARSE_PREFIX + key)?.[1]
  const name = of("name")
  const size = decimal(of("realsize") ?? of("size"))
  if (size === undefined) return undefined
  const numbers = of("major") === "1" ? await numbersIn(input) : numbersOf(records, of("map"))
  if (!numbers || numbers.length % 2 !== 0) return undefined
  const pieces = Array.from({ length: numbers.length / 2 }, (_, at) =>
    extent(numbers[2 * at], numbers[2 * at + 1]),
  )
  const map = mapOf(pieces, size)
  return map && { ...map, ...(name !== undefined && { name }) }
}

function numbersOf(records: SparseRecords, map: string | undefined): (number | undefined)[] {
  if (map !== undefined) return map === "" ? [] : map.split(",").map(decimal)
  return records
    .filter(([key]) => [`${SPARSE_PREFIX}offset`, `${SPARSE_PREFIX}numbytes`].includes(key))
    .map(([, value]) => decimal(value))
}

/** Lines of decimal digits, the first of which says how many pairs there are, filled up to a block. */
async function numbersIn(input: TarInput): Promise<(number | undefined)[] | undefined> {
  const found: (number | undefined)[] = []
  let rest = ""
  for (let wanted = 1; found.length < wanted; ) {
    const block = await input.read(BLOCK)
    if (block.byteLength < BLOCK) return undefined
    const lines = (rest + Buffer.from(block).toString("latin1")).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) if (found.length < wanted) wanted = 1 + 2 * counted(found, line)
    if (rest.length > BLOCK || !(wanted <= 1 + 2 * MOST_PIECES)) return undefined
  }
  return found.slice(1)
}

/** Takes one more number, and gives the first. */
function counted(found: (number | undefined)[], line: string): number {
  found.push(decimal(line))
  return found[0] ?? Number.NaN
}

function mapOf(pieces: readonly (Extent | undefined)[], size: number): Sparse | undefined {
  let end = 0
  for (const one of pieces) {
    if (!one || one.start < end || one.end > size) return undefined
    end = one.end
  }
  return pieces.length > MOST_PIECES ? undefined : { pieces: pieces as readonly Extent[], size }
}

function extent(start: number | undefined, length: number | undefined): Extent | undefined {
  if (start === undefined || length === undefined || !Number.isSafeInteger(start + length)) return undefined
  return { start, end: start + length }
}

function decimal(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** How many bytes of it are stored. */
export function storedSize({ pieces }: Sparse): number {
  return pieces.reduce((sum, { start, end }) => sum + end - start, 0)
}

/** The file, with zeros for its holes; `stored` gives so many bytes of what is stored, from a place on. */
export async function* withHoles(
  { pieces, size }: Sparse,
  stored: (at: number, length: number) => Bytes,
): Bytes {
  let [position, taken] = [0, 0]
  for (const { start, end } of pieces) {
    yield* zeros(start - position)
    yield* stored(taken, end - start)
    taken += end - start
    position = end
  }
  yield* zeros(size - position)
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, left)
}
