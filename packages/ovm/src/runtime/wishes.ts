import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { replaceAtOnce } from "../files/replace.ts"
import type { WarmRequest } from "./interfaces.ts"

const FILE = "warm.json"

/** The slots that were asked for below `root`, which outlive the daemon. What cannot be read was never asked for. */
export async function readWishes(root: string): Promise<readonly WarmRequest[]> {
  try {
    const kept = JSON.parse(await readFile(join(root, FILE), "utf8")) as { slots: readonly WarmRequest[] }
    return kept.slots.filter(({ manifest, slots }) => typeof manifest === "string" && Number.isInteger(slots))
  } catch {
    return []
  }
}

/** Replaces them. At once: of two that write, the later one has the last word. */
export function writeWishes(root: string, slots: readonly WarmRequest[]): void {
  replaceAtOnce(join(root, FILE), JSON.stringify({ schema: 1, slots }))
}
