import { digestOf, utf8 } from "../../registry/content.ts"
import { GUEST_MEMORY } from "../guest.ts"
import { type Artifact, described } from "../make.ts"
import { SNAPSHOT, snapshotArtifact } from "../snapshot.ts"
import { qcow2With } from "./disk.ts"
import { CREATED, qcow2Layer } from "./machine.ts"
import { changedPages, type Pages, wireRam } from "./ram.ts"

const part = (name: string) => `application/vnd.ovms.${name}`

const FIRST: Pages = { 0: "page 0 of the first snapshot\n", 129: "page 129 of both\n" }
const SECOND: Pages = {
  ...FIRST,
  0: "page 0 of the second snapshot\n",
  4096: "page 4096, new in the second\n",
}
const WRITTEN = ["cluster 2, written before the first snapshot\n", "cluster 3, written before the second\n"]

/** A snapshot of the machine, and one of the clone that was resumed from that. */
export function goldenSnapshots(base: Artifact): readonly [first: Artifact, second: Artifact] {
  const first = snapshotOf(base, { pages: FIRST })
  return [first, snapshotOf(base, { pages: SECOND, parent: first })]
}

interface Taken {
  readonly pages: Pages
  readonly parent?: Artifact
}

function snapshotOf(base: Artifact, { pages, parent }: Taken): Artifact {
  const ram = wireRam(GUEST_MEMORY, pages)
  const changed = parent && changedPages(GUEST_MEMORY, FIRST, pages)
  const state = utf8(`no device state of any VMM, ${parent ? "the second" : "the first"}\n`)
  const overlays = WRITTEN.slice(0, parent ? 2 : 1).map((text, at) => qcow2With({ [2 + at]: text }))
  const vmm = {
    name: "example",
    version: "1.0.0",
    format: "example-1",
    machine: "example-1.0",
    accelerator: "tcg",
    cpuModel: "example",
  }
  const document = {
    schemaVersion: 1,
    mediaType: SNAPSHOT,
    os: "linux",
    architecture: "amd64",
    created: CREATED,
    base: { digest: base.digest },
    ...(parent && { parent: parent.digest }),
    vmm,
    resources: { vcpus: 1, memory: GUEST_MEMORY },
    devices: ["example-serial", "example-disk", "example-generation-id"],
    ram: {
      ref: digestOf(ram.blob),
      compression: "zstd",
      table: digestOf(ram.table),
      size: GUEST_MEMORY,
      digest: ram.digest,
      ...(changed && { changed: { ref: digestOf(changed.map), pages: changed.pages } }),
    },
    state: { ref: digestOf(state) },
    overlays: overlays.map((bytes) => ({ ref: digestOf(bytes), format: "qcow2", size: bytes.length })),
    uniqueness: { vmgenid: true, multiResume: "allow" },
    scrub: { checked: true, findings: [] },
  }
  const wire = described(part("ramsnap.v1+zstd"), ram.blob, "ram.zst")
  const layers = [
    { ...wire, annotations: { ...wire.annotations, "ovms.ram.table": digestOf(ram.table) } },
    described(part("ramtable.v1"), ram.table, "ram.table"),
    ...(changed ? [described(part("rampages.v1"), changed.map, "ram.pages")] : []),
    described(part("vmstate.v1"), state, "vmstate.bin"),
    ...overlays.map((bytes, at) => qcow2Layer(bytes, `overlay${at}.qcow2`)),
  ]
  const annotations = {
    "org.opencontainers.image.created": CREATED,
    "ovms.snapshot.accelerator": vmm.accelerator,
    "ovms.snapshot.architecture": "amd64",
    "ovms.snapshot.format": vmm.format,
    "ovms.snapshot.memory": `${GUEST_MEMORY}`,
    "ovms.snapshot.vmm": vmm.name,
    "ovms.snapshot.vmm-version": vmm.version,
  }
  const blobs = [ram.blob, ram.table, ...(changed ? [changed.map] : []), state, ...overlays]
  return snapshotArtifact(base, { document, blobs, layers, oci: { annotations } })
}
