import { setTimeout as sleep } from "node:timers/promises"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Store } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { OvmError } from "../../errors.ts"
import { pushed } from "../bundle/write.ts"
import { layersOf } from "./layers.ts"

const CONFIG = "application/vnd.oci.image.config.v1+json"
const ATTEMPTS = 12
/** Milliseconds after a write before it is looked at again; chance takes up to half away. */
const SETTLE_MS = 40

export interface NewLayer {
  readonly mediaType: string
  readonly bytes: Uint8Array
  readonly annotations: Readonly<Record<string, string>>
  /** True for a layer that says the same already, so that nothing need be added. */
  same(layer: Descriptor): Promise<boolean>
}

/** A tag of `store` that stands for a list of layers. */
export interface LegacyTag {
  readonly store: Store
  readonly name: string
  /** Where that is: for messages, and for writers to wait for each other. */
  readonly place: string
}

/** Writers of one tag in this process: they wait for each other, so that only other processes can come between. */
const writing = new Map<string, Promise<unknown>>()

/**
 * Adds a layer to what the tag means, and keeps those of others. A tag cannot be compared and swapped, so it is looked
 * at again after a moment and written again if another writer undid it (docs/design/0012, "Writing"). Returns the
 * descriptor of the manifest. Throws OVM_SIGNATURE_MALFORMED if the tag means something else.
 */
export async function addLayer(tag: LegacyTag, layer: NewLayer, call: Call): Promise<Descriptor> {
  const { place } = tag
  const before = writing.get(place) ?? Promise.resolve()
  const mine = before.catch(() => {}).then(() => merge(tag, layer, call))
  writing.set(place, mine)
  try {
    return await mine
  } finally {
    if (writing.get(place) === mine) writing.delete(place)
  }
}

async function merge(tag: LegacyTag, layer: NewLayer, call: Call): Promise<Descriptor> {
  const { store, name, place } = tag
  const added = {
    ...(await pushed(store, layer.mediaType, layer.bytes, call)),
    annotations: layer.annotations,
  }
  let wrote = false
  let seen = 0
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await resolved(store, name, call)
    const layers = found ? await layersOf(store, found, place, call) : []
    if (found && (await has(layers, added, layer))) {
      if (!wrote || ++seen === 2) return found
    } else {
      seen = 0
      await write(store, name, [...layers, added], call)
      wrote = true
    }
    await sleep(SETTLE_MS * (0.5 + Math.random() / 2), undefined, call.signal && { signal: call.signal })
  }
  throw new OvmError("OVM_REGISTRY_FAILED", `${place}: others keep undoing the change to this list`, {
    hint: "sign again when the others have ended",
  })
}

async function has(layers: readonly Descriptor[], added: Descriptor, { same }: NewLayer): Promise<boolean> {
  const text = JSON.stringify(added.annotations)
  for (const one of layers)
    if ((one.digest === added.digest && JSON.stringify(one.annotations) === text) || (await same(one)))
      return true
  return false
}

async function resolved(store: Store, name: string, call: Call): Promise<Descriptor | undefined> {
  try {
    return await store.resolve(name, call)
  } catch (error) {
    if (error instanceof OvmError && error.code === "OVM_NAME_UNKNOWN") return undefined
    throw error
  }
}

/** The manifest and config are those that Cosign writes: an image of no platform whose layers are the signatures. */
async function write(store: Store, name: string, layers: readonly Descriptor[], call: Call): Promise<void> {
  const epoch = "0001-01-01T00:00:00Z"
  const image = {
    architecture: "",
    created: epoch,
    history: layers.map(() => ({ created: epoch })),
    os: "",
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
    config: {},
  }
  const config = await pushed(store, CONFIG, Buffer.from(JSON.stringify(image)), call)
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }
  const target = await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), call)
  await store.tag(target, name, call)
}
