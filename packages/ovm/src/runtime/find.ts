import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import { guardedSync } from "../files/guarded.ts"
import { isAbsent } from "../files/present.ts"
import { type Known, knownOf, recordOf } from "./members.ts"
import { type InstanceRecord, RECORD, UNRECORDED } from "./record.ts"

/** What an earlier daemon left in the directory of the instance `id`. */
export type Found = { readonly id: string } & (
  | { readonly record: InstanceRecord }
  /** Provably nobody's: a start that nobody was told of, a slot, or the rest of what was being removed. */
  | { readonly nobodys: true }
  | Unreadable
)

/** Kept as it is, and shown with what is known of it. */
export interface Unreadable {
  readonly fault: OvmError
  readonly known: Known
  /** There is nothing in the directory. */
  readonly empty?: true
}

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** A record has a few KiB; one with the most overlays that a snapshot may have, some 30. */
const LIMIT = 4 << 20

/**
 * Looks at every directory below `instances`. One whose name is no instance's is told to `other` and otherwise left
 * alone. Throws OVM_PERMISSION_DENIED and the like if the folder itself cannot be read.
 */
export function findInstances(instances: string, other: (path: string) => void): Found[] {
  return guardedSync(() => readdirSync(instances)).flatMap((name) => {
    if (ID.test(name)) return look(instances, name) ?? []
    other(join(instances, name))
    return []
  })
}

/** Looks at the directory of the instance `id`; undefined if there is none (any more). */
export function look(instances: string, id: string): Found | undefined {
  const directory = join(instances, id)
  const path = join(directory, RECORD)
  let value: unknown
  try {
    const found = lstatSync(directory, { throwIfNoEntry: false })
    if (!found) return undefined
    if (!found.isDirectory()) return unreadable(id, directory, "it is not a folder")
    const text = readRecord(path)
    if (text === undefined) return withoutRecord(id, directory)
    if (text === "") return unreadable(id, path, "it is empty")
    value = JSON.parse(text)
    const record = recordOf(value, id, directory, found.mtime)
    if (typeof record !== "string") return { id, record }
    return unreadable(id, path, record, knownOf(value))
  } catch (thrown) {
    const reason = thrown instanceof SyntaxError ? "it is not JSON" : toOvmError(thrown).message
    return unreadable(id, path, reason)
  }
}

/**
 * The text of a record; undefined if there is none. A pipe in its place does not hold us up, and a link is not
 * followed.
 */
function readRecord(path: string): string | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
  try {
    const found = fstatSync(fd)
    if (!found.isFile()) throw new OvmError("OVM_FILE_UNREADABLE", "it is not a file")
    if (found.size > LIMIT) throw new OvmError("OVM_TOO_LARGE", `it is above ${LIMIT} bytes`)
    return readFileSync(fd, "utf8")
  } finally {
    closeSync(fd)
  }
}

function withoutRecord(id: string, directory: string): Found {
  const names = readdirSync(directory)
  if (names.includes(UNRECORDED)) return { id, nobodys: true }
  const found = unreadable(id, directory, "it has no record")
  return names.length === 0 ? { ...found, empty: true } : found
}

function unreadable(id: string, path: string, reason: string, known: Known = {}) {
  const fault = new OvmError("OVM_RECORD_UNREADABLE", `${path}: ${reason}; all of the instance is kept`, {
    hint: `ovm rm --force ${id} ends and removes it`,
  })
  return { id, fault, known }
}
