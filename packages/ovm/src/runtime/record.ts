import { lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { readdir, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import { isAbsent } from "../files/present.ts"
import { replaceAtOnce } from "../files/replace.ts"
import { syncDirectory, syncFile } from "../files/sync.ts"
import { named } from "../files/writing.ts"
import type { MachineRecord } from "../vmm/machine.ts"
import type { SnapshotParts } from "../vmm/snapshot.ts"
import type { InstanceInfo, StartRequest, VolumeUse } from "./interfaces.ts"
import { keepVolumes } from "./kept-volumes.ts"

/** What outlives the daemon of an instance: what its status says and how to find its machine again. */
export interface InstanceRecord {
  readonly schema: 1
  readonly info: InstanceInfo
  readonly machine?: MachineRecord
  readonly lineage?: Lineage
  /** Of one on standby, which has no machine. */
  readonly standby?: Standby
  /** As it came: what it is started again with. Absent in records of earlier versions. */
  readonly request?: StartRequest
  /** While it is being stopped: when its guest's grace time is over, in ms since 1970. */
  readonly stopBy?: number
  /** A restart of it was begun, and is not over: it is started once it has ended. */
  readonly again?: true
}

/** What an instance keeps besides its status and its machine. */
interface Kept {
  readonly lineage: Lineage | undefined
  readonly standby: Standby | undefined
  readonly request: StartRequest | undefined
  readonly stopBy: number | undefined
  readonly again: boolean
}

/** The record of an instance with that status and that machine. */
export function instanceRecord(
  info: InstanceInfo,
  machine: MachineRecord | undefined,
  { lineage, standby, request, stopBy, again }: Kept,
): InstanceRecord {
  return {
    schema: 1,
    info,
    ...(machine && { machine }),
    ...(lineage && { lineage }),
    ...(standby && { standby }),
    ...(request && { request }),
    ...(again && { again: true }),
    ...(info.state === "stopping" && stopBy !== undefined && { stopBy }),
  }
}

/** Where the guest of a machine on standby goes on: RAM and device state, in files of the instance's directory. */
export interface Standby extends Pick<SnapshotParts, "origin" | "boot" | "generationId"> {}

/** What was written to a disk since the base. */
export interface WrittenChain {
  /** The lowest first: what the store has by its descriptor, what it does not by its path. */
  readonly overlays: readonly (Descriptor | string)[]
  /** The file that the guest writes to now; absent if it cannot write. */
  readonly top?: string
}

/** The same of a further disk; where there is no `top`, it is the one that disks.ts names. */
export interface WrittenDisk extends WrittenChain {
  readonly name: string
}

/** What a snapshot of the instance would refer to. */
export interface Lineage extends WrittenChain {
  /** The OCI manifest of the base, however many snapshots lie between. */
  readonly base: Descriptor
  /** The index that the base was found through. */
  readonly index?: Descriptor
  /** The snapshot that it was resumed from. */
  readonly parent?: Digest
  /** The memory digest of the RAM of `parent`. */
  readonly parentRam?: Digest
  /** What the parent asks of whoever resumes it; a snapshot of this instance asks the same unless told otherwise. */
  readonly policy?: SnapshotPolicy
  /** Its guest goes on from an instant of a running machine, which is no snapshot. */
  readonly live?: true
  /** Further disks of which a snapshot has been taken, or that it was resumed with. */
  readonly disks?: readonly WrittenDisk[]
  /** Of one that an instant is being taken of (turning.ts). */
  readonly turning?: Turning
}

/** Files that a guest may write to already, and that are no part of its disks before that is known. */
export interface Turning {
  readonly overlay?: string
  readonly disks: readonly { readonly name: string; readonly overlay: string }[]
}

/** What a snapshot asks of whoever resumes it, in the words of POST /snapshot. */
export interface SnapshotPolicy {
  readonly multi_resume?: "allow" | "deny"
  readonly preload_hint?: boolean
  readonly mlock_required?: boolean
}

/** The record's name in the instance's directory. */
export const RECORD = "instance.json"
/**
 * A file that stands for a record, whatever is in it: as long as nobody was told of the instance, and again from the
 * moment on that it is being removed. Of what has neither, nobody can know, and so it is kept (OVMS-STA-026).
 */
export const UNRECORDED = "unrecorded"

/**
 * Makes the directory of an instance with these volumes, for its user alone. Throws if it is there already; after any
 * other failure it is not.
 */
export function createDirectory(directory: string, volumes: readonly VolumeUse[] = []): void {
  mkdirSync(directory, { mode: 0o700 })
  try {
    writeFileSync(join(directory, UNRECORDED), "", { mode: 0o600 })
    keepVolumes(directory, volumes)
  } catch (thrown) {
    rmSync(directory, { recursive: true, force: true })
    throw thrown
  }
}

/** Replaces the record: a reader, or a crash, sees the old one or the new one. `first`: it has had none so far. */
export function writeRecord(directory: string, record: InstanceRecord, first: boolean): void {
  // Synchronously: an answer waits for it.
  const [path, text] = [join(directory, RECORD), JSON.stringify(record)]
  if (first) becomeRecord(directory, path, text)
  else replaceAtOnce(path, text)
}

/** Brings the record, and that there is one, to the host's disk. Throws the system's error. */
export async function syncRecord(directory: string): Promise<void> {
  await syncFile(join(directory, RECORD))
  await syncDirectory(directory)
  await syncDirectory(dirname(directory))
}

/** What stands for the record becomes it: whatever is in there, only its name counts. */
function becomeRecord(directory: string, path: string, text: string): void {
  const unrecorded = join(directory, UNRECORDED)
  try {
    writeFileSync(unrecorded, text, { mode: 0o600 })
    renameSync(unrecorded, path)
  } catch (thrown) {
    throw named(path, thrown)
  }
}

/**
 * Removes the directory with all in it, so that a crash in the middle leaves what the next daemon removes. Needs no
 * room.
 */
export async function removeDirectory(directory: string): Promise<void> {
  // Of a link only the link goes.
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    unrecord(directory)
    // What says that the rest may go is the last to go.
    const others = (await readdir(directory)).filter((name) => name !== UNRECORDED)
    await Promise.all(others.map((name) => rm(join(directory, name), { recursive: true, force: true })))
  }
  await rm(directory, { recursive: true, force: true })
}

function unrecord(directory: string): void {
  const record = join(directory, RECORD)
  try {
    renameSync(record, join(directory, UNRECORDED))
  } catch (error) {
    if (isAbsent(error)) return
    // Something strange in its place, or not even room for a name.
    rmSync(record, { recursive: true, force: true })
  }
}
