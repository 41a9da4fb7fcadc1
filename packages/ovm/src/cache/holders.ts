import { appendFileSync } from "node:fs"
import { readdir, unlink } from "node:fs/promises"
import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { bytesIfPresent, ifPresent } from "../files/present.ts"
import { lock } from "../host/lock.ts"
import { type CacheFiles, type Key, keyName } from "./files.ts"

// Who uses what: a file a holder, one key a line. It outlives the process, as an instance does.

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/**
 * Writes down that `holder` uses `key`. Under the shared lock, so that no collector is between its look and its
 * removal.
 */
export async function holdKey(files: CacheFiles, holder: string, key: Key): Promise<void> {
  const path = holderPath(files, holder)
  using _ = await lock(files.lock, "shared")
  // Not synced: it has to outlive this process, but after a crash of the host no machine uses anything.
  appendFileSync(path, `${keyName(key)}\n`, { mode: 0o600 })
}

export async function release(files: CacheFiles, holder: string): Promise<void> {
  await ifPresent(unlink(holderPath(files, holder)))
}

/** The names of all keys in use, each with who uses it. */
export async function held(files: CacheFiles): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>()
  for (const id of ((await ifPresent(readdir(files.holders))) ?? []).sort()) {
    const text = (await bytesIfPresent(join(files.holders, id)))?.toString() ?? ""
    // What follows the last line feed was never acknowledged.
    const names = text.slice(0, text.lastIndexOf("\n") + 1).split("\n")
    for (const name of new Set(names.filter(Boolean))) users.set(name, [...(users.get(name) ?? []), id])
  }
  return users
}

function holderPath(files: CacheFiles, holder: string): string {
  if (!ID.test(holder)) throw new OvmError("OVM_INTERNAL", `${JSON.stringify(holder)} cannot hold a file`)
  return join(files.holders, holder)
}
