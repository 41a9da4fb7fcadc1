import { createHash } from "node:crypto"
import { digestOf, hex, utf8 } from "../registry/content.ts"
import { type Artifact, described, OCI_MANIFEST } from "./make.ts"

const TYPE = "application/vnd.ovms.snapshot.v1+json"
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
    mediaType: TYPE,
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
  const manifest = Buffer.from(JSON.stringify(document))
  const oci = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: TYPE,
      config: described(TYPE, manifest, "snapshot.json"),
      layers: [described(RAM, ram, "ram.zst"), described(STATE, state, "vmstate.bin")],
      subject: { mediaType: OCI_MANIFEST, digest: base.digest, size: base.oci.length },
      ...changes.oci,
    }),
  )
  return { ...base, oci, digest: digestOf(oci), manifest, blobs: [manifest, ram, state], base }
}
