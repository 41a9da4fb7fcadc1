import { padding, TAR_END, tarHeader } from "../../content/archive/tar.ts"
import { sha256 } from "../../content/digest.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { flattenTo } from "../flat.ts"
import type { Workplace } from "../workplace.ts"
import { blobOf, type MachineOut } from "./machine.ts"
import { ArchiveContent } from "./oci-archive.ts"
import { onlyDisk } from "./only-disk.ts"

const CONFIG = "application/vnd.oci.image.config.v1+json"
const LAYER = "application/vnd.oci.image.layer.v1.tar"
/** Who reads the disk in KubeVirt. */
const QEMU = { user: 107, group: 107 }
const DISK = "disk/disk.qcow2"

/**
 * KubeVirt's containerDisk of the machine: a container image with its disk at `/disk`, in the archive of an OCI layout.
 * Throws OVM_UNSUPPORTED for further disks, and as flattenTo does.
 */
export async function containerDiskOf(machine: MachineOut, place: Workplace, call: Call): Promise<Bytes> {
  const path = place.file()
  await flattenTo(onlyDisk(machine), { path, format: "qcow2" }, call)
  const disk = await blobOf(path, "", call)
  const layer = () => layerOf(disk.descriptor.size, disk.open)
  const hash = sha256()
  let size = 0
  for await (const chunk of layer()) {
    hash.update(chunk)
    size += chunk.byteLength
  }
  const digest = hash.digest()
  const content = new ArchiveContent()
  const layers = [content.add({ mediaType: LAYER, digest, size }, layer)]
  const config = content.document(CONFIG, {
    architecture: machine.architecture,
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [digest] },
  })
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }
  return content.archive(content.document(OCI_MANIFEST, manifest), machine.tag, call)
}

async function* layerOf(size: number, open: () => Bytes): Bytes {
  yield tarHeader("disk/", 0, { mode: 0o555, owner: QEMU })
  yield tarHeader(DISK, size, { mode: 0o440, owner: QEMU })
  yield* open()
  yield new Uint8Array(padding(size))
  yield TAR_END
}
