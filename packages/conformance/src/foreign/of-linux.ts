import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { documentOf, readLayout } from "../artifact/layout.ts"
import { must, skip } from "../check.ts"
import { Ext4 } from "../disk/ext4.ts"
import { type Disk, layeredDisk } from "../disk/qcow2.ts"
import type { Descriptor } from "../registry/content.ts"
import { containerIn } from "./container.ts"
import { ForeignLayout } from "./layout.ts"
import type { TarEntry } from "./tar.ts"

/** What a container image has none of: the system's own places, and what would begin in place of `/etc/ovm/init`. */
const LEFT_OUT = /^(proc|sys|dev|lost\+found|etc\/ovm|sbin\/init|etc\/init.*)$/
const OF_ITS_ROOT = /^(root=.*|init=.*|rw|ro)$/
const LONGEST = 100
/** Bytes of programs that are carried over at most. */
const MOST = 64 << 20

/** What the suite makes of the Linux that it was given: a container image, and a folder with what boots it. */
export interface LinuxImage {
  /** Path of the layout. */
  readonly image: string
  readonly boot: string
  /** What its kernel is told, without what says where its root is and what begins. */
  readonly args: string
}

/** The first disk of a machine in a layout as a guest reads it. */
export async function diskIn(layout: string): Promise<Disk> {
  const { oci, blob } = await readLayout(layout)
  must(oci.config, "the OCI manifest has no config")
  const { diskLayers = [] } = JSON.parse((await blob(oci.config)).toString())
  const layers = []
  for (const { ref, format } of diskLayers) {
    if (format !== "qcow2") skip(`a layer of its disk is of format ${format}, which is not read here`)
    layers.push(await blob(found(oci.layers, ref)))
  }
  return layeredDisk(layers)
}

function found(layers: readonly Descriptor[] = [], digest: string): Descriptor {
  const layer = layers.find((one) => one.digest === digest)
  must(layer, `the OCI manifest has no layer ${digest}`)
  return layer
}

/** A container image with the programs of that Linux and this config, in the folder of a check. */
export async function imageOfLinux(linux: string, folder: string, config: object): Promise<LinuxImage> {
  const disk = await diskIn(linux)
  if (disk.read(1024 + 56, 2).readUInt16LE() !== 0xef53)
    skip("the Linux that the suite was given has no ext4 file system at the beginning of its disk")
  const layout = new ForeignLayout(join(folder, "image-of-linux"))
  const image = layout.only(containerIn(layout, [[...entries(new Ext4(disk), "")]], { config }))
  const boot = join(folder, "boot-of-linux")
  await mkdir(boot)
  const read = await readLayout(linux)
  const { oci, blob } = read
  const manifest = await documentOf(read)
  if (!manifest.kernel || !manifest.initrd)
    skip("the Linux that the suite was given has no kernel and initrd")
  await writeFile(join(boot, "vmlinuz"), await blob(found(oci.layers, manifest.kernel.ref)))
  await writeFile(join(boot, "initrd.img"), await blob(found(oci.layers, manifest.initrd.ref)))
  const args = (manifest.kernel.args ?? "").split(" ").filter((word: string) => !OF_ITS_ROOT.test(word))
  return { image, boot, args: args.join(" ") }
}

/** Files, folders and links below a folder; owners are of no matter here. */
function* entries(files: Ext4, folder: string): Generator<TarEntry> {
  for (const name of files.list(folder)) {
    const path = folder ? `${folder}/${name}` : name
    if (LEFT_OUT.test(path) || path.length > LONGEST) continue
    const { mode, size, content } = files.at(path)
    const permissions = mode & 0o7777
    if (size > MOST) skip(`${path} of the Linux that the suite was given is too large to be carried over`)
    if (mode >> 12 === 4) {
      yield { name: `${path}/`, mode: permissions }
      yield* entries(files, path)
    } else if (mode >> 12 === 8) yield { name: path, mode: permissions, content: content() }
    else if (mode >> 12 === 10) yield { name: path, type: "2", link: content().toString() }
  }
}
