import { readSync } from "node:fs"
import { findSecrets, SECRET_KINDS, SECRET_LIMIT } from "./secrets.ts"
import type { Scanned, ScanTask } from "./tasks.ts"

/**
 * Does one task of scan.ts. A secret that begins in these bytes may end behind them, and whether one begins depends on
 * the byte before it: so a little more is read on both sides.
 */
export function scanBytes({ from, at, length, places }: ScanTask): Scanned {
  const before = at > 0 ? 1 : 0
  const memory = Buffer.allocUnsafe(before + length + SECRET_LIMIT)
  const start = at - before
  let got = 0
  for (let count = -1; count !== 0 && got < memory.length; got += count)
    count = readSync(from, memory, got, memory.length - got, start + got)
  const found = SECRET_KINDS.map((_, kind) => ({ kind, count: 0, offsets: [] as number[] }))
  findSecrets(memory.subarray(0, got), before, before + length, (kind, place) => {
    const one = found[kind]
    if (!one) return
    one.count++
    one.offsets.push(start + place)
  })
  for (const one of found) one.offsets = one.offsets.sort((a, b) => a - b).slice(0, places)
  return { found: found.filter(({ count }) => count > 0) }
}
