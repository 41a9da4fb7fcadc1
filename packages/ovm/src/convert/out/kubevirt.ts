import { createReadStream, createWriteStream } from "node:fs"
import { pipeline } from "node:stream/promises"
import { createZstdCompress } from "node:zlib"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { OCI_INDEX, OCI_MANIFEST } from "../../content/manifest.ts"
import { sizeOfDisk } from "../../disk/size.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { flattenTo } from "../flat.ts"
import { keptIn } from "../oci/kept.ts"
import { DISK_NAME, type KeptOfKubevirt } from "../oci/kubevirt.ts"
import { quantityOf } from "../oci/quantity.ts"
import type { Workplace } from "../workplace.ts"
import { blobOf, type MachineOut } from "./machine.ts"
import { ArchiveContent } from "./oci-archive.ts"
import { updated, virtualMachine } from "./vm-object.ts"

const TYPE = "application/vnd.kubevirt.virtualmachine.v1"
const CONFIG = "application/vnd.kubevirt.virtualmachine.config.v1+json"
const DISK = "application/vnd.kubevirt.disk.raw+zstd"

type Annotations = Readonly<Record<string, string>>

/**
 * The machine as KubeVirt's artifact of a virtual machine, in the archive of an OCI layout. One that was such an
 * artifact is it again: its VirtualMachine, with what is another way by now, and its annotations (OVMS-IMP-066). Throws
 * OVM_UNSUPPORTED for disks that are empty, and as flattenTo does.
 */
export async function kubevirtOf(machine: MachineOut, place: Workplace, call: Call): Promise<Bytes> {
  const before = keptOf(machine)
  const content = new ArchiveContent()
  const layers: Descriptor[] = []
  for (const [at, disk] of machine.disks.entries()) {
    if ("size" in disk)
      throw new OvmError(
        "OVM_UNSUPPORTED",
        `${machine.name}: its disk ${disk.name} is empty, and has no layer`,
        {
          detail: [{ pointer: "/disks", reason: `${disk.name} is empty` }],
        },
      )
    const [raw, packed] = [place.file(), place.file()]
    await flattenTo(disk.layers, { path: raw, format: "raw" }, call)
    await pipeline(createReadStream(raw), createZstdCompress(), createWriteStream(packed), call)
    const { descriptor, open } = await blobOf(packed, DISK, call)
    const annotations =
      before?.disks[at] ?? annotationsOf(disk.name, await sizeOfDisk({ path: raw, format: "raw" }))
    layers.push({ ...content.add(descriptor, open), annotations })
  }
  const config = before ? updated(before.config, machine) : virtualMachine(machine)
  const artifactType = before?.artifactType ?? TYPE
  const manifest = content.document(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType,
    config: content.document(CONFIG, config),
    layers,
    ...annotated(before?.manifest),
  })
  const platform = { os: "linux", architecture: machine.architecture }
  const index = content.document(OCI_INDEX, {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    artifactType,
    manifests: [{ ...manifest, artifactType, platform }],
    ...annotated(before?.index ?? { "org.opencontainers.image.title": machine.name }),
  })
  return content.archive(index, machine.tag, call)
}

/** What it was, if it has as many disks still. */
function keptOf({ annotations, disks }: MachineOut): KeptOfKubevirt | undefined {
  const found = keptIn(annotations)
  if (!isObject(found) || !isObject(found.config) || !Array.isArray(found.disks)) return undefined
  return found.disks.length === disks.length ? (found as unknown as KeptOfKubevirt) : undefined
}

function annotationsOf(name: string, bytes: number): Annotations {
  return {
    [DISK_NAME]: name,
    "io.kubevirt.pvc.capacity": quantityOf(bytes),
    "io.kubevirt.pvc.volumeMode": "Block",
    "io.kubevirt.pvc.accessModes": "ReadWriteOnce",
    "org.opencontainers.image.title": `${name}.raw.zst`,
  }
}

function annotated(annotations: Annotations | undefined): { readonly annotations?: Annotations } {
  return annotations && Object.keys(annotations).length > 0 ? { annotations } : {}
}
