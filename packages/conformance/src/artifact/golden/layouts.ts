import { digestOf, parsed } from "../../registry/content.ts"
import { BUNDLE } from "../../signing/evidence.ts"
import { type Artifact, OCI_INDEX, OCI_MANIFEST } from "../make.ts"
import { indexOf } from "../platforms.ts"
import { type Evidence, GOLDEN_KEYS, provenanceOf, signatureOf } from "./evidence.ts"
import { arm64Machine, goldenMachine } from "./machine.ts"
import { goldenSnapshots } from "./snapshots.ts"

const LAYOUT = JSON.stringify({ imageLayoutVersion: "1.0.0" })

export type GoldenName = "machine" | "snapshot" | "snapshot-of-a-clone" | "signed" | "attested" | "index"

/** What a layout has: the one thing with a name, and what belongs to it without one. */
export interface Golden {
  readonly description: string
  readonly mediaType: string
  /** What has the name; of an index without blobs. */
  readonly main: Pick<Artifact, "oci" | "digest" | "blobs">
  /** A snapshot's parent and base, an index's machines. */
  readonly more: readonly Artifact[]
  readonly evidence: readonly Evidence[]
}

/** The golden layouts (spec/vectors/README.md): the same bytes wherever they are made. */
export function goldenLayouts(): Readonly<Record<GoldenName, Golden>> {
  const machine = goldenMachine()
  const [first, second] = goldenSnapshots(machine)
  const machines = [
    ["amd64", machine],
    ["arm64", arm64Machine()],
  ] as const
  const index = indexOf(machines)
  const [signature, provenance] = [signatureOf(machine), provenanceOf(machine)]
  return {
    machine: golden("a machine", machine),
    snapshot: golden("a snapshot, and the machine that is its base", first, { more: [machine] }),
    "snapshot-of-a-clone": golden(
      "a snapshot of a clone; the one that the clone was resumed from, its parent; their base",
      second,
      { more: [first, machine] },
    ),
    signed: golden("a machine and its signature", machine, { evidence: [signature] }),
    attested: golden("a machine, its signature and its provenance", machine, {
      evidence: [signature, provenance],
    }),
    index: golden(
      "an index of two machines, by architecture",
      { oci: index, digest: digestOf(index), blobs: [] },
      { mediaType: OCI_INDEX, more: machines.map(([, one]) => one) },
    ),
  }
}

function golden(
  description: string,
  main: Golden["main"],
  more: Partial<Pick<Golden, "mediaType" | "more" | "evidence">> = {},
): Golden {
  return { description, mediaType: OCI_MANIFEST, main, more: [], evidence: [], ...more }
}

/** The files of the folder in which the layouts are, by path. */
export function goldenFiles(): Readonly<Record<string, Buffer>> {
  const layouts = Object.entries(goldenLayouts())
  const list = layouts.map(([layout, golden]) => ({ layout, ...listed(golden) }))
  return Object.fromEntries([
    ...Object.entries(GOLDEN_KEYS).map(([name, pem]) => [name, Buffer.from(pem)] as const),
    ...layouts.flatMap(([layout, golden]) =>
      filesOf(golden).map(([path, bytes]) => [`${layout}/${path}`, bytes] as const),
    ),
    ["layouts.json", Buffer.from(`${JSON.stringify(list, undefined, 2)}\n`)],
  ])
}

function filesOf({ main, mediaType, more, evidence }: Golden): (readonly [string, Buffer])[] {
  const parts = [
    ...[main, ...more].flatMap(({ oci, blobs }) => [oci, ...blobs]),
    ...evidence.flatMap(({ manifest, blobs }) => [manifest, ...blobs]),
  ]
  const annotations = { "org.opencontainers.image.ref.name": "1" }
  const named = { mediaType, digest: main.digest, size: main.oci.length, annotations }
  const beside = evidence.map(({ manifest, predicateType }) => ({
    mediaType: OCI_MANIFEST,
    digest: digestOf(manifest),
    size: manifest.length,
    artifactType: BUNDLE,
    annotations: {
      "dev.sigstore.bundle.content": "dsse-envelope",
      "dev.sigstore.bundle.predicateType": predicateType,
    },
  }))
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [named, ...beside] }
  return [
    ...parts.map((bytes) => [`blobs/sha256/${digestOf(bytes).slice("sha256:".length)}`, bytes] as const),
    ["index.json", Buffer.from(JSON.stringify(index))],
    ["oci-layout", Buffer.from(LAYOUT)],
  ]
}

/** What is said of it in layouts.json. */
function listed({ description, main, evidence }: Golden): object {
  const { config, layers, manifests } = parsed(main.oci)
  return {
    description,
    digest: main.digest,
    ...(config && { config: config.digest }),
    ...(layers && { layers: layers.map(({ digest }) => digest) }),
    ...(manifests && { machines: manifests.map(({ digest }) => digest) }),
    ...(evidence.length > 0 && { evidence: evidence.map(({ manifest }) => digestOf(manifest)) }),
  }
}
