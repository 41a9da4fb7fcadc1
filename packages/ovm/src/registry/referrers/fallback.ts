import { setTimeout as sleep } from "node:timers/promises"
import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, digestOf } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { OCI_INDEX } from "../../content/manifest.ts"
import { MANIFEST_LIMIT, tooLarge } from "../../content/read.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { fallbackTag, type Referrers, type ReferrersIndex } from "./referrers.ts"

const ATTEMPTS = 12
/** Milliseconds, at least and at most, after a write before it is looked at again; chance takes up to half away. */
const [SETTLE_MS, MOST_SETTLE_MS] = [40, 5000]
/** Others may take longer from what they read to what they write than we did ourselves: so many times. */
const SLOWER = 3

/** Puts `bytes`, an index, under the tag. */
export type PutIndex = (target: Descriptor, tag: string, bytes: Uint8Array) => Promise<void>

export interface Fallback {
  readonly referrers: Referrers
  /** Host and repository. */
  readonly name: string
  readonly put: PutIndex
}

/** Writers of one tag in this process: they wait for each other, so that only other processes can come between. */
const writing = new Map<string, Promise<unknown>>()

/** Enters `entry` into the list of the referrers of `subject` that a registry without the API leaves to its clients. */
export function addReferrer(at: Fallback, subject: Digest, entry: Descriptor, call: Call): Promise<void> {
  return update(at, subject, call, (manifests) =>
    manifests.some(({ digest }) => digest === entry.digest) ? undefined : [...manifests, entry],
  )
}

/** Takes `entry` out of that list. */
export function removeReferrer(at: Fallback, subject: Digest, entry: Digest, call: Call): Promise<void> {
  return update(at, subject, call, (manifests) => {
    const left = manifests.filter(({ digest }) => digest !== entry)
    return left.length === manifests.length ? undefined : left
  })
}

async function update(at: Fallback, subject: Digest, call: Call, change: Change): Promise<void> {
  const key = `${at.name}:${fallbackTag(subject)}`
  const before = writing.get(key)
  const mine = (before ?? Promise.resolve()).catch(() => {}).then(() => merge(at, subject, call, change))
  writing.set(key, mine)
  try {
    await mine
  } finally {
    if (writing.get(key) === mine) writing.delete(key)
  }
}

/** The new entries, or undefined if nothing is to be changed. */
type Change = (manifests: readonly Descriptor[]) => readonly Descriptor[] | undefined

// There is no compare-and-swap over a registry. So: read, merge, write, wait a moment, look again, until the list is
// seen to have the change twice, a pause apart. A writer that read before our write and writes after our second look
// could still undo it: so the pause is some times as long as we took ourselves from reading to having written, where
// the registry, the network or this host is slow (docs/design/0012).
async function merge(at: Fallback, subject: Digest, call: Call, change: Change): Promise<void> {
  const tag = fallbackTag(subject)
  let wrote = false
  let seen = 0
  let settle = SETTLE_MS
  let failure: OvmError | undefined
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const began = performance.now()
    const found = await at.referrers.index(subject, call)
    const manifests = change(found?.index.manifests ?? [])
    if (!manifests) {
      if (!wrote || ++seen === 2) return
    } else {
      seen = 0
      const bytes = indexBytes(found?.index, manifests, `${at.name}:${tag}`)
      failure = await conflict(() =>
        at.put({ mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.byteLength }, tag, bytes),
      )
      wrote = true
      settle = Math.min(MOST_SETTLE_MS, Math.max(settle, SLOWER * (performance.now() - began)))
    }
    await sleep(settle * (0.5 + Math.random() / 2), undefined, call.signal && { signal: call.signal })
  }
  throw new OvmError(
    "OVM_REGISTRY_FAILED",
    `${at.name}:${tag}: others keep undoing the change to this list`,
    {
      cause: failure,
      hint: "push it again when the others have ended",
    },
  )
}

function indexBytes(
  old: ReferrersIndex | undefined,
  manifests: readonly Descriptor[],
  what: string,
): Uint8Array {
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, ...old, manifests }
  const bytes = Buffer.from(JSON.stringify(index))
  if (bytes.byteLength > MANIFEST_LIMIT) throw tooLarge(what, MANIFEST_LIMIT)
  return bytes
}

/** What a registry that saw two writers at once answers is no failure yet. Anything else is thrown. */
async function conflict(work: () => Promise<void>): Promise<OvmError | undefined> {
  try {
    await work()
    return undefined
  } catch (thrown) {
    const error = toOvmError(thrown)
    if (isObject(error.detail) && (error.detail.status === 409 || error.detail.status === 412)) return error
    throw error
  }
}
