import { createHash } from "node:crypto"
import { type Descriptor, digestOf, hex, utf8 } from "../registry/content.ts"
import { type Artifact, described, OCI_MANIFEST } from "./make.ts"

export const SNAPSHOT = "application/vnd.ovms.snapshot.v1+json"
const RAM = "application/vnd.ovms.ramsnap.v1+zstd"
const STATE = "application/vnd.ovms.vmstate.v1"
const CHUNK = 262_144
const MEMORY = 16 << 20

/** A frame of Zstandard that is one chunk of zeros: a content size, and two blocks of one byte and how often. */
const FRAME = hex("28b52ffda000000400" + "0200100003001000")

/** What is to be otherwise than in a snapshot of no machine that ever ran. */
export interface SnapshotChanges {
  /** Of the descriptor. */
  readonly document?: object
  /** Of its `vmm`. */
  readonly vmm?: object
  /** Of the OCI manifest. */
  readonly oci?: object
  /** How much RAM there is. */
  readonly memory?: number
}

/** A whole snapshot of `base` as a writer would make it, of RAM that is all zeros, with the base. */
export function snapshotOf(base: Artifact, changes: SnapshotChanges = {}): Artifact {
  const { memory = MEMORY } = changes
  const chunks = memory / CHUNK
  const ram = Buffer.concat(Array.from({ length: chunks }, () => FRAME))
  const state = utf8("no device state of any VMM")
  const chunk = createHash("sha256").update(Buffer.alloc(CHUNK)).digest()
  const document = {
    schemaVersion: 1,
    mediaType: SNAPSHOT,
    architecture: "amd64",
    created: "2026-01-01T00:00:00Z",
    base: { digest: base.digest },
    vmm: {
      name: "qemu",
      version: "0.0.1",
      format: "suite-1",
      machine: "suite",
      accelerator: "tcg",
      cpuModel: "suite",
      ...changes.vmm,
    },
    resources: { vcpus: 1, memory },
    devices: [],
    ram: {
      ref: digestOf(ram),
      compression: "zstd",
      size: memory,
      digest: digestOf(Buffer.concat(Array.from({ length: chunks }, () => chunk))),
    },
    state: { ref: digestOf(state) },
    overlays: [],
    uniqueness: { vmgenid: true, multiResume: "allow" },
    ...changes.document,
  }
  const layers = [described(RAM, ram, "ram.zst"), described(STATE, state, "vmstate.bin")]
  return snapshotArtifact(base, { document, blobs: [ram, state], layers, oci: changes.oci ?? {} })
}

export interface SnapshotParts {
  readonly document: object
  /** Besides the descriptor. */
  readonly blobs: readonly Buffer[]
  readonly layers: readonly Descriptor[]
  /** Of the OCI manifest: what it has besides, or otherwise. */
  readonly oci: object
}

/** The artifact around a snapshot's descriptor, which refers to its base. */
export function snapshotArtifact(base: Artifact, { document, blobs, layers, oci }: SnapshotParts): Artifact {
  const manifest = Buffer.from(JSON.stringify(document))
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: SNAPSHOT,
      config: described(SNAPSHOT, manifest, "snapshot.json"),
      layers,
      subject: { mediaType: OCI_MANIFEST, digest: base.digest, size: base.oci.length },
      ...oci,
    }),
  )
  return { ...base, oci: bytes, digest: digestOf(bytes), manifest, blobs: [manifest, ...blobs], base }
}
