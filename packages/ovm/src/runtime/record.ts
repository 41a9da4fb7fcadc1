import { mkdirSync } from "node:fs"
import { readdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import { replaceAtOnce } from "../files/replace.ts"
import type { MachineRecord } from "../vmm/interfaces.ts"
import { endStray } from "../vmm/process/stray.ts"
import type { InstanceInfo } from "./interfaces.ts"

/** What outlives the daemon of an instance: what its status says and how to find its machine again. */
export interface InstanceRecord {
  readonly schema: 1
  readonly info: InstanceInfo
  readonly machine?: MachineRecord
  readonly lineage?: Lineage
}

/** What a snapshot of the instance would refer to. */
export interface Lineage {
  /** The OCI manifest of the base, however many snapshots lie between. */
  readonly base: Descriptor
  /** The snapshot that it was resumed from. */
  readonly parent?: Digest
  /** The memory digest of its RAM. */
  readonly parentRam?: Digest
  /** What that one asks of whoever resumes it, and so do those after it unless told otherwise. */
  readonly policy?: SnapshotPolicy
  /** What was written since the base, the lowest first: what the store has by its descriptor, what it does not by its path. */
  readonly overlays: readonly (Descriptor | string)[]
  /** The file that the guest writes to now; absent if it cannot write. */
  readonly top?: string
}

/** What a snapshot asks of whoever resumes it, in the words of POST /snapshot. */
export interface SnapshotPolicy {
  readonly multi_resume?: "allow" | "deny"
  readonly preload_hint?: boolean
  readonly mlock_required?: boolean
}

const FILE = "instance.json"

/** Makes the instance's own directory, for its user alone. Throws if it is there already. */
export function createDirectory(directory: string): void {
  mkdirSync(directory, { mode: 0o700 })
}

/** Replaces the record: a reader, or a crash, sees the old one or the new one. */
export async function writeRecord(directory: string, record: InstanceRecord): Promise<void> {
  // At once: an answer waits for it.
  replaceAtOnce(join(directory, FILE), JSON.stringify(record))
}

/**
 * All records below `instances`. A directory without a readable record is what a crash left of an instance that nobody
 * was told about, or of a slot that waited for one: what runs in it is ended, and it is removed.
 */
export async function readRecords(instances: string): Promise<InstanceRecord[]> {
  const records: InstanceRecord[] = []
  for (const id of await readdir(instances)) {
    const directory = join(instances, id)
    const record = await readRecord(directory)
    if (record?.schema === 1 && record.info.instance_id === id) records.push(record)
    else {
      await endStray(directory)
      await rm(directory, { recursive: true, force: true })
    }
  }
  return records.sort((a, b) => a.info.created.localeCompare(b.info.created))
}

async function readRecord(directory: string): Promise<InstanceRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, FILE), "utf8")) as InstanceRecord
  } catch {
    return undefined
  }
}
