import type { Digest } from "../content/digest.ts"
import type { LayoutReader } from "../content/layout/reader.ts"
import { openToRead } from "../content/layout/reading.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { paths } from "../host/paths.ts"
import { isUnknown } from "./names.ts"

/**
 * This host's content store, made if there is none. Open it for one operation and close it; to bring content in use
 * `takeIn`.
 */
export function openStore(): Promise<LayoutStore> {
  return openLayout(paths().store, { create: true })
}

/** This host's content store for reading, by somebody who may not be allowed to write to it. Close it after use. */
export function openStoreToRead(): Promise<LayoutReader> {
  return openToRead(paths().store)
}

/** What a name stands for on this host, if anything. */
export async function digestOfName(store: LayoutReader, name: string): Promise<Digest | undefined> {
  try {
    return (await store.resolve(name)).digest
  } catch (thrown) {
    if (isUnknown(thrown)) return undefined
    throw thrown
  }
}
