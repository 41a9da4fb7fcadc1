import { readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
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

/** Replaces them by rename. */
export async function writeWishes(root: string, slots: readonly WarmRequest[]): Promise<void> {
  const temporary = join(root, `.${FILE}.tmp`)
  await writeFile(temporary, JSON.stringify({ schema: 1, slots }), { mode: 0o600 })
  await rename(temporary, join(root, FILE))
}
