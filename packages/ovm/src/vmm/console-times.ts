import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { toOvmError } from "../errors.ts"
import { ifPresent } from "../files/present.ts"
import { openRegular } from "../files/regular.ts"
import { endOffset } from "./console.ts"
import { TIMES_PREFIX } from "./process/traces.ts"

/** Bytes a note: where in the whole stream, and when, in ms since 1970, both as little-endian numbers of 8 bytes. */
const NOTE = 16
/** More than a keeper notes of a segment. */
const MOST = 8 << 20

/** When a byte of the console came, and with it those up to the next such byte. */
export interface Moment {
  readonly offset: number
  readonly ms: number
}

/**
 * What the keeper noted of the console in `directory` (docs/design/0034-keeper.md), in order; nothing where an earlier
 * version kept it. Throws what reading throws.
 */
export async function momentsIn(directory: string): Promise<Moment[]> {
  try {
    const names = (await ifPresent(readdir(directory))) ?? []
    const starts = names
      .filter((name) => /^times\.\d+$/.test(name))
      .map((name) => Number(name.slice(TIMES_PREFIX.length)))
      .sort((a, b) => a - b)
    const moments: Moment[] = []
    for (const start of starts) moments.push(...(await notesOf(join(directory, `${TIMES_PREFIX}${start}`))))
    return moments
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}

async function notesOf(path: string): Promise<Moment[]> {
  const file = await ifPresent(openRegular(path))
  if (!file) return []
  try {
    const bytes = Buffer.alloc(Math.min((await file.stat()).size, MOST))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return Array.from({ length: Math.floor(bytesRead / NOTE) }, (_, index) => ({
      offset: Number(bytes.readBigUInt64LE(index * NOTE)),
      ms: Number(bytes.readBigUInt64LE(index * NOTE + 8)),
    }))
  } finally {
    await file.close()
  }
}

/** When the byte at `offset` came, in ms since 1970; undefined if nobody noted it. `moments` is in order. */
export function momentOf(moments: readonly Moment[], offset: number): number | undefined {
  let [low, high] = [0, moments.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((moments[middle]?.offset ?? 0) <= offset) low = middle + 1
    else high = middle
  }
  return moments[low - 1]?.ms
}

/**
 * Where in the whole stream begins what came at `ms` or later, but for what came within a tenth of a second of a note
 * before it. 0 where nobody noted times.
 */
export async function sinceOffset(directory: string, ms: number): Promise<number> {
  // What comes from here on has its note by the time that notes are read.
  const end = await endOffset(directory)
  const moments = await momentsIn(directory)
  if (moments.length === 0) return 0
  return moments.find((moment) => moment.ms >= ms)?.offset ?? end
}
