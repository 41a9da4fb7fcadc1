import type { Descriptor } from "../../content/descriptor.ts"
import { blobText, bytesText, type TreeEntry, tree } from "../machine/inspect.ts"
import type { SnapshotDescriptor } from "./descriptor.ts"
import type { Snapshot } from "./read.ts"

/** What `ovm inspect` shows of a snapshot. Sizes are bytes. */
export interface SnapshotModel {
  readonly reference?: string
  readonly digest: string
  readonly base: string
  readonly ram: Pick<Descriptor, "digest" | "size">
  readonly state: Pick<Descriptor, "digest" | "size">
  readonly overlays: readonly Pick<Descriptor, "digest" | "size">[]
  /** The same of further disks, by name. */
  readonly disks?: readonly (Pick<SnapshotModel, "overlays"> & { readonly name: string })[]
  /** All blobs of the snapshot, without those of its base. */
  readonly size: number
  readonly snapshot: SnapshotDescriptor
}

export function snapshotModel(snapshot: Snapshot, reference?: string): SnapshotModel {
  const { oci, ram, state, overlays, disks } = snapshot
  const blob = ({ digest, size }: Descriptor) => ({ digest, size })
  return {
    ...(reference !== undefined && { reference }),
    digest: snapshot.descriptor.digest,
    base: snapshot.base.digest,
    ram: blob(ram),
    state: blob(state),
    overlays: overlays.map(({ descriptor }) => blob(descriptor)),
    ...(disks.length > 0 && {
      disks: disks.map(({ name, overlays }) => ({
        name,
        overlays: overlays.map(({ descriptor }) => blob(descriptor)),
      })),
    }),
    size: [oci.config, ...oci.layers].reduce((sum, { size }) => sum + size, 0),
    snapshot: snapshot.snapshot,
  }
}

/** The model as a tree for people, one line an entry. */
export function snapshotLines(model: SnapshotModel): string[] {
  const { vmm, resources, devices, boot, ram, created, parent } = model.snapshot
  const entries: TreeEntry[] = [
    { text: `base  ${model.base}` },
    ...(parent ? [{ text: `parent  ${parent}` }] : []),
    { text: `ram  ${blobText(model.ram)}, ${ram.compression} of ${bytesText(ram.size)}` },
    ...(ram.changed ? [{ text: `changed  ${ram.changed.pages} pages since the parent` }] : []),
    { text: `state  ${blobText(model.state)}` },
    ...overlayEntries("overlays", model.overlays),
    ...(model.disks ?? []).flatMap(({ name, overlays }) => overlayEntries(`overlays of ${name}`, overlays)),
    {
      text: `vmm  ${vmm.name} ${vmm.version}, ${vmm.accelerator}`,
      below: [
        `machine  ${vmm.machine}`,
        `cpu  ${vmm.cpuModel}`,
        ...devices.map((device) => `device  ${device}`),
      ],
    },
    { text: `resources  ${resources.vcpus} vCPU, ${bytesText(resources.memory)} memory` },
    ...(boot ? [{ text: `boots  still, with ${JSON.stringify(boot.args)}` }] : []),
    { text: `resume  ${resumeText(model.snapshot)}` },
    { text: `secrets  ${secretsText(model.snapshot)}` },
  ]
  const title = `${model.reference ?? model.digest}  (snapshot of ${created})`
  return [title, `digest  ${model.digest}, ${bytesText(model.size)} beside the base`, ...tree(entries)]
}

function overlayEntries(text: string, overlays: SnapshotModel["overlays"]): TreeEntry[] {
  if (overlays.length === 0) return []
  return [{ text, below: overlays.map((overlay, index) => `${index}  ${blobText(overlay)}`) }]
}

function resumeText({ uniqueness, ram }: SnapshotDescriptor): string {
  return [
    uniqueness.multiResume === "allow" ? "as often as wanted" : "once",
    ...(ram.preload_hint ? ["RAM read ahead"] : []),
    ...(ram.mlock_required ? ["RAM locked in memory"] : []),
  ].join(", ")
}

function secretsText({ scrub }: SnapshotDescriptor): string {
  if (!scrub?.checked) return "not looked for"
  return scrub.findings.map(({ kind, count }) => `${count} ${kind}`).join(", ") || "looked for, none found"
}
