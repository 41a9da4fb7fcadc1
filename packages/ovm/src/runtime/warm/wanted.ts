import { join } from "node:path"
import { bytesIfPresent } from "../../files/present.ts"
import { replaceAtOnce } from "../../files/replace.ts"
import type { WarmRequest } from "../interfaces.ts"

const FILE = "warm.json"

/**
 * The slots that were asked for below `root`, which outlive the daemon. Throws what reading throws: what cannot be read
 * just now was asked for all the same.
 */
export async function readWishes(root: string): Promise<readonly WarmRequest[]> {
  const bytes = await bytesIfPresent(join(root, FILE))
  return bytes === undefined ? [] : wishesOf(bytes.toString())
}

/** What is no list of wishes was never asked for. */
function wishesOf(text: string): readonly WarmRequest[] {
  try {
    const kept = JSON.parse(text) as { slots: readonly WarmRequest[] }
    return kept.slots.filter(({ manifest, slots }) => typeof manifest === "string" && Number.isInteger(slots))
  } catch {
    return []
  }
}

/** Replaces them. Synchronously: of two that write, the later one has the last word. */
export function writeWishes(root: string, slots: readonly WarmRequest[]): void {
  replaceAtOnce(join(root, FILE), JSON.stringify({ schema: 1, slots }))
}
