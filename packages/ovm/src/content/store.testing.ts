import { expect } from "bun:test"
import { type ErrorCode, OvmError } from "../errors.ts"
import type { Descriptor } from "./descriptor.ts"
import { digestOf } from "./digest.ts"
import type { Bytes, Store } from "./interfaces.ts"
import { OCI_MANIFEST } from "./manifest.ts"
import { bytesOf } from "./read.ts"

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

export function describeBytes(bytes: Uint8Array, mediaType = "application/octet-stream"): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
}

/** A manifest over `layers`; `note` makes it different from others. */
export function manifestOver(layers: readonly Descriptor[], note = "", more: object = {}): Uint8Array {
  const [config, ...rest] = layers
  const annotations = { note }
  return text(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: rest, annotations, ...more }),
  )
}

export async function pushBytes(store: Store, bytes: Uint8Array, mediaType?: string): Promise<Descriptor> {
  const target = describeBytes(bytes, mediaType)
  await store.push(target, bytesOf(bytes))
  return target
}

export async function pushImage(store: Store, note: string, ...layers: string[]): Promise<Descriptor> {
  const children: Descriptor[] = []
  for (const layer of layers) children.push(await pushBytes(store, text(layer)))
  return pushBytes(store, manifestOver(children, note), OCI_MANIFEST)
}

/** A manifest of the type `artifactType` that belongs to `subject`. */
export async function pushReferrer(
  store: Store,
  subject: Descriptor,
  artifactType: string,
  note = "",
): Promise<Descriptor> {
  const config = await pushBytes(store, text("{}"), "application/vnd.oci.empty.v1+json")
  return pushBytes(store, manifestOver([config], note, { artifactType, subject }), OCI_MANIFEST)
}

export async function collect(content: Promise<Bytes>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(await content)).toString()
}

/** The OvmError that `work` ends in; fails if it succeeds or throws something else. */
export async function failure(work: Promise<unknown>, code: ErrorCode): Promise<OvmError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof OvmError))
    throw new Error(`expected ${code}, got ${String(error)}`, { cause: error })
  expect(error.code).toBe(code)
  return error
}
