import { isSnapshot } from "../artifact/snapshot/read.ts"
import { type LayoutOptions, type LayoutStore, openLayout } from "../content/layout/store.ts"
import { type ErrorClass, toOvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import { collectImages } from "./collect.ts"

/** Classes of errors after which a next attempt could not go on from what this one has fetched. */
const IN_VAIN: readonly ErrorClass[] = ["invalid", "refused", "host"]

/**
 * Opens the store of `place`, made if absent, for `work`, which may give names, and closes it. What a snapshot whose
 * name went to something else has left is freed then, unless something holds it (OVMS-SNP-151).
 */
export async function giveNames<T>(
  place: Pick<Paths, "store" | "cache">,
  options: Pick<LayoutOptions, "durable">,
  work: (store: LayoutStore) => Promise<T>,
): Promise<T> {
  const [result, standing] = await within(place, options, work)
  // It is no reason to have failed: the next collection makes up for it.
  if (standing) await collectImages(place).catch(() => {})
  return result
}

async function within<T>(
  { store: root }: Pick<Paths, "store">,
  options: Pick<LayoutOptions, "durable">,
  work: (store: LayoutStore) => Promise<T>,
): Promise<[result: T, standing: boolean]> {
  await using store = await openLayout(root, { ...options, create: true })
  const result = await work(store)
  const were = store.displaced.map((before) => isSnapshot(store, before).catch(() => false))
  return [result, (await Promise.all(were)).includes(true)]
}

/**
 * `giveNames` for `work` that brings content in. Where that fails in vain, all that has no name and no user is removed,
 * the beginnings of blobs too if the disk is full; after trouble with a registry or an interruption it stays, for the
 * next attempt to go on with.
 */
export async function takeIn<T>(
  place: Pick<Paths, "store" | "cache">,
  options: Pick<LayoutOptions, "durable">,
  work: (store: LayoutStore) => Promise<T>,
): Promise<T> {
  try {
    return await giveNames(place, options, work)
  } catch (thrown) {
    await collectInVain(place, thrown)
    throw toOvmError(thrown)
  }
}

/**
 * Removes what was fetched before such an end as `thrown`, if that was in vain; of what has a name or a user nothing
 * goes.
 */
export async function collectInVain(place: Pick<Paths, "store" | "cache">, thrown: unknown): Promise<void> {
  const error = toOvmError(thrown)
  if (!IN_VAIN.includes(error.class)) return
  // What went wrong before is what the user has to know.
  await collectImages(place, { partials: error.code === "OVM_NO_SPACE" }).catch(() => {})
}
