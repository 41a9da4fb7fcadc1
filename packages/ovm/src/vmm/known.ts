import { mkdir, readFile } from "node:fs/promises"
import { dirname } from "node:path"
import { replaceFile } from "../files/replace.ts"
import { sweepTemporaries } from "../files/temporary.ts"

/** What was found last in this process, by file: every start asks. */
const remembered = new Map<string, Kept>()

interface Kept {
  readonly key: unknown
  readonly capabilities: unknown
}

/**
 * What `find` finds, kept in `file` for as long as `key` is the same: as JSON, which both are; unless it is `passing`,
 * and may be found otherwise in a moment. A file that cannot be written costs time, not the answer.
 */
export async function known<Found>(
  file: string,
  key: unknown,
  find: () => Promise<Found>,
  passing: (found: Found) => boolean = () => false,
): Promise<Found> {
  const kept = await readKept(file, key)
  if (kept) return kept.capabilities as Found
  const capabilities = await find()
  if (passing(capabilities)) return capabilities
  await keep(file, { key, capabilities }).catch(() => {})
  return capabilities
}

async function readKept(file: string, key: unknown): Promise<Kept | undefined> {
  try {
    const kept = remembered.get(file) ?? (JSON.parse(await readFile(file, "utf8")) as Kept)
    remembered.set(file, kept)
    return JSON.stringify(kept.key) === JSON.stringify(key) ? kept : undefined
  } catch {
    return undefined
  }
}

async function keep(file: string, kept: Kept): Promise<void> {
  remembered.set(file, kept)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await sweepTemporaries(dirname(file))
  await replaceFile(file, JSON.stringify(kept))
}
