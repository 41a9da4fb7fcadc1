import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { digestOf, hexOf } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { textIfPresent } from "../../files/present.ts"
import { replaceAtOnce } from "../../files/replace.ts"
import { isUnknown } from "../names.ts"
import { openStore, openStoreToRead } from "../store.ts"
import { STEP_NAMES } from "./step-name.ts"

/**
 * What builds have kept of their steps: images in the store, under names that nobody else can tell ahead, so that no
 * archive that is loaded brings a step along (OVMS-BLD-020).
 */
export class Steps {
  private constructor(private readonly secret: string) {}

  /** `folder` is there, and nobody else's. */
  static open(folder: string): Steps {
    return new Steps(secretIn(join(folder, "secret")))
  }

  name(key: string): string {
    return `${STEP_NAMES}:${this.tag(key)}`
  }

  /** That nobody else can tell ahead. */
  tag(key: string): string {
    return hexOf(digestOf(`${this.secret} ${key}`))
  }

  /** Index of the last of these steps that is here; -1 for none. */
  async lastKept(keys: readonly string[]): Promise<number> {
    await using store = await openStoreToRead()
    for (const [at, key] of [...keys.entries()].toReversed())
      try {
        await store.resolve(this.name(key))
        return at
      } catch (thrown) {
        if (!isUnknown(thrown)) throw thrown
      }
    return -1
  }

  /** A step that has written nothing is the image of the one before. */
  async keepSame(key: string, reference: string, call: Call): Promise<void> {
    await using store = await openStore()
    await store.tag(await store.resolve(reference, call), this.name(key), call)
  }
}

/** Of two builds that are the first at once one has nothing to go on from the next time. */
function secretIn(path: string): string {
  const found = textIfPresent(path)
  if (found !== undefined && found.length === 64) return found
  const made = randomBytes(32).toString("hex")
  replaceAtOnce(path, made)
  return made
}
