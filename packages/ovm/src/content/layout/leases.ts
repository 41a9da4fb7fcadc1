import { closeSync, openSync } from "node:fs"
import { readdir, unlink } from "node:fs/promises"
import { resolve as absolute, join } from "node:path"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { appendWhole, isNoRoom } from "../../files/lines.ts"
import { bytesIfPresent, ifPresent } from "../../files/present.ts"
import { replaceAtOnce } from "../../files/replace.ts"
import { syncDirectory, synced } from "../../files/sync.ts"
import { named, writing } from "../../files/writing.ts"
import { flock } from "../../host/libc.ts"
import { type Lock, lock, tryLock } from "../../host/lock.ts"
import type { Descriptor } from "../descriptor.ts"
import { type Digest, isDigest } from "../digest.ts"
import { LayoutFiles } from "./files.ts"

// docs/design/0003-store-locks-and-leases.md has the whole argument.

/** What a lease needs to know: the media type tells the collector whether to look inside. */
export type Leased = Pick<Descriptor, "digest" | "mediaType">

/** Content that the collector must not remove, and what hangs below it. */
export interface Lease {
  readonly id: string
  /** Holds `targets` from here on. Call it first and look for the content after: before, it may be collected. */
  add(...targets: readonly Leased[]): Promise<void>
  release(): Promise<void>
}

/** One that holds less after a while. */
export interface LongLease extends Lease {
  /** Holds `target` no more. Not durably: what it holds too much costs room, and no content. */
  drop(target: Leased): Promise<void>
}

const SESSION = "session-"
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** A lease of this process: its file is locked, and the lock ends with the process. Costs nothing until used. */
export class SessionLease implements Lease {
  readonly id = `${SESSION}${crypto.randomUUID()}`
  readonly #held = new Set<Digest>()
  // A bare descriptor: a FileHandle that nobody closed would be an uncaught error once it is collected as garbage.
  #fd: number | undefined
  /** Where there is no room for a line: as long as this is held, nothing is collected. */
  #instead: Lock | undefined
  #released = false

  constructor(private readonly files: LayoutFiles) {}

  async add(...targets: readonly Leased[]): Promise<void> {
    const fresh = targets.filter((target) => !this.#held.has(target.digest))
    if (fresh.length === 0) return
    if (this.#instead) return
    const shared = await lock(this.files.lock, "shared")
    try {
      if (this.#released)
        throw new OvmError("OVM_INTERNAL", `${this.files.root} was used after it was closed`)
      this.#fd ??= this.#open()
      appendWhole(this.#fd, lines(fresh))
      for (const target of fresh) this.#held.add(target.digest)
    } catch (error) {
      if (!isNoRoom(error)) throw named(this.#path, error)
      this.#instead = shared
    } finally {
      if (!this.#instead) shared.release()
    }
  }

  /** Before this process asks for the exclusive lock: it would wait for itself. */
  giveWay(): void {
    this.#instead?.release()
    this.#instead = undefined
  }

  #open(): number {
    const fd = openSync(this.#path, "ax+", 0o600)
    flock(fd, "exclusive", this.#path)
    return fd
  }

  async release(): Promise<void> {
    const fd = this.#fd
    this.#fd = undefined
    this.#released = true
    this.#held.clear()
    this.giveWay()
    if (fd === undefined) return
    await ifPresent(unlink(this.#path))
    closeSync(fd)
  }

  get #path(): string {
    return join(this.files.leases, this.id)
  }
}

/** A lease that outlives its process, for an instance: it counts until somebody releases it. */
export class NamedLease implements LongLease {
  readonly #path: string

  constructor(
    private readonly files: LayoutFiles,
    readonly id: string,
    /** Whether it survives a crash of the host, and not only of this process. */
    private readonly durable: boolean,
  ) {
    if (!ID.test(id) || id.startsWith(SESSION))
      throw new OvmError("OVM_INTERNAL", `${JSON.stringify(id)} cannot name a lease`)
    this.#path = join(files.leases, id)
  }

  async add(...targets: readonly Leased[]): Promise<void> {
    using _ = await lock(this.files.lock, "shared")
    // Synchronously: it is one line, and a start waits for it.
    const fd = openSync(this.#path, "a+", 0o600)
    try {
      await writing(this.#path, async () => {
        appendWhole(fd, lines(targets))
        if (this.durable) await synced(fd)
      })
    } finally {
      closeSync(fd)
    }
    if (this.durable) await syncDirectory(this.files.leases)
  }

  async drop(target: Leased): Promise<void> {
    using _ = await lock(this.files.lock, "exclusive")
    const all = await readLease(this.files, this.id)
    const left = all.filter(({ digest }) => digest !== target.digest)
    if (left.length < all.length) replaceAtOnce(this.#path, lines(left), { by: this.files.ingest })
  }

  async release(): Promise<void> {
    await ifPresent(unlink(this.#path))
  }
}

/** Gives a lease back without a look at the store, which may be damaged. */
export async function releaseLease(root: string, id: string): Promise<void> {
  await guarded(() => new NamedLease(new LayoutFiles(absolute(root)), id, false).release())
}

/** The named leases with what they hold. */
export async function namedLeases(files: LayoutFiles): Promise<{ id: string; targets: Leased[] }[]> {
  const ids = (await ifPresent(readdir(files.leases))) ?? []
  const found = ids.filter((id) => !id.startsWith(SESSION)).sort()
  return Promise.all(found.map(async (id) => ({ id, targets: await readLease(files, id) })))
}

/**
 * All that any lease holds. Only for the collector, under the exclusive lock: leases of dead processes are put into
 * `dead` and do not count.
 */
export async function liveLeases(files: LayoutFiles): Promise<{ targets: Leased[]; dead: string[] }> {
  const targets: Leased[] = []
  const dead: string[] = []
  for (const id of await readdir(files.leases)) {
    const path = join(files.leases, id)
    if (id.startsWith(SESSION) && isAbandoned(path)) dead.push(path)
    else targets.push(...(await readLease(files, id)))
  }
  return { targets, dead }
}

/** True if no process holds the lock of the file, or it has just gone. */
export function isAbandoned(path: string): boolean {
  try {
    const free = tryLock(path, "exclusive")
    free?.release()
    return free !== undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true
    throw error
  }
}

async function readLease(files: LayoutFiles, id: string): Promise<Leased[]> {
  const path = join(files.leases, id)
  const text = (await bytesIfPresent(path))?.toString() ?? ""
  // What follows the last newline was never acknowledged: its writer died in the middle.
  const whole = text.slice(0, text.lastIndexOf("\n") + 1)
  return whole
    .split("\n")
    .filter(Boolean)
    .map((line) => parseLine(line, path))
}

function parseLine(line: string, path: string): Leased {
  const [digest, mediaType] = line.split(" ")
  if (isDigest(digest) && mediaType) return { digest, mediaType }
  throw new OvmError("OVM_STORE_CORRUPT", `${path} has a line that is not a digest and a media type`)
}

function lines(targets: readonly Leased[]): string {
  return targets.map(({ digest, mediaType }) => `${digest} ${mediaType.replace(/\s/g, "")}\n`).join("")
}
