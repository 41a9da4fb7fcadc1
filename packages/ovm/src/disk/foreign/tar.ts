import { padding, parseTarHeader } from "../../content/archive/tar.ts"
import type { Foreign, Sample } from "./sample.ts"

/** So many entries of an archive are looked at to say what it is. */
const ENTRIES = 64
const BLOCK = 512

/**
 * What is in tar archives: a machine for other programs, or a container image. None without a header whose checksum is
 * right.
 */
export async function tarOf(sample: Sample): Promise<Foreign | undefined> {
  const names = new Set<string>()
  for (let at = 0; names.size < ENTRIES; ) {
    const block = await sample.read(at, BLOCK)
    const header = block.length === BLOCK ? parseTarHeader(block) : undefined
    if (!header || header.name === "") break
    names.add(header.name.replace(/^\.\//, ""))
    // Whoever reads it says what is wrong with that.
    if (header.size === undefined) break
    at += BLOCK + header.size + padding(header.size)
  }
  if (names.size === 0) return undefined
  const any = (pattern: RegExp) => [...names].some((name) => pattern.test(name))
  if (any(/\.ovf$/i))
    return {
      name: "an OVA, a tar archive with disks in it",
      help: (path) => `tar xf ${path}, and: qemu-img convert -O qcow2 DISK.vmdk disk.qcow2`,
    }
  if (names.has("oci-layout") || names.has("manifest.json") || any(/^blobs\/sha256\//))
    return {
      name: "an archive of a container image or OCI layout",
      help: (path) => `ovm load -i ${path} if it is a machine; ${notBootable()}`,
    }
  if (any(/^(?:etc|usr|bin|sbin|var|lib)(?:\/|$)/))
    return { name: "a tar archive of files, such as the layer of a container image", help: notBootable }
  return {
    name: "a tar archive",
    help: (path) => `tar xf ${path}, and give the disk that is in it`,
  }
}

export function notBootable(): string {
  return "a container image has no disk that boots; give a disk, qcow2 or raw"
}
