import { access, mkdir, open } from "node:fs/promises"
import { join } from "node:path"
import { type Digest, hexOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { syncDirectory } from "../files/sync.ts"

/** Where it is remembered which snapshots were resumed that may be resumed once. */
export const resumedIn = (root: string) => join(root, "resumed")

/**
 * Remembers in `folder`, durably, that the snapshot was resumed on this host. Throws OVM_RESUME_DENIED if it was before
 * (OVMS-SNP-091, OVMS-SNP-092): the file's very existence is the memory, so two at once cannot both succeed.
 */
export async function resumeOnce(folder: string, snapshot: Digest): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    const file = await open(join(folder, hexOf(snapshot)), "wx", 0o600)
    await file.sync()
    await file.close()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
    throw denied(snapshot, "and was", cause)
  }
  await syncDirectory(folder)
}

/** True if `resumeOnce` would refuse it. */
export async function wasResumed(folder: string, snapshot: Digest): Promise<boolean> {
  return await access(join(folder, hexOf(snapshot))).then(
    () => true,
    () => false,
  )
}

/** Throws OVM_RESUME_DENIED if `resumeOnce` would. */
export async function assertNotResumed(folder: string, snapshot: Digest): Promise<void> {
  if (await wasResumed(folder, snapshot)) throw denied(snapshot, "and was")
}

/**
 * Snapshots that may be resumed once, and that a start of this runtime is just going on from: between its plan and the
 * resume itself another one would be taken on in vain.
 */
export class Claims {
  readonly #held = new Set<Digest>()

  has(snapshot: Digest): boolean {
    return this.#held.has(snapshot)
  }

  /**
   * Claims the snapshot until the function that it gives is called. Not asynchronous: nobody claims it in between.
   * Throws OVM_RESUME_DENIED if it is claimed.
   */
  hold(snapshot: Digest): () => void {
    if (this.#held.has(snapshot)) throw denied(snapshot, "and is just being")
    this.#held.add(snapshot)
    return () => this.#held.delete(snapshot)
  }

  /** Claims it as `hold` does, and throws OVM_RESUME_DENIED also if `folder` says that it has been resumed before. */
  async take(folder: string, snapshot: Digest): Promise<() => void> {
    const release = this.hold(snapshot)
    try {
      await assertNotResumed(folder, snapshot)
      return release
    } catch (error) {
      release()
      throw error
    }
  }
}

/** What a second resume of it is refused with. */
export function denied(snapshot: Digest, why: string, cause?: unknown): OvmError {
  return new OvmError("OVM_RESUME_DENIED", `the snapshot ${snapshot} may be resumed once, ${why}`, { cause })
}
