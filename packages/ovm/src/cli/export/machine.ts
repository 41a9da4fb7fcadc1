import { type Artifact, readArtifact } from "../../artifact/machine/read.ts"
import { isSnapshot } from "../../artifact/snapshot/read.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Call } from "../../content/interfaces.ts"
import type { LayoutReader } from "../../content/layout/reader.ts"
import type { MachineOut } from "../../convert/out/machine.ts"
import type { ChainFile } from "../../disk/chain-reader.ts"
import { OvmError } from "../../errors.ts"

/** Of machines that do not say. */
const [VCPUS, MEMORY] = [1, 512 * 2 ** 20]
/** Of names in the descriptors of others, as in DNS. */
const MOST_NAME = 63

/** The machine `target` for those of other programs. Throws OVM_UNSUPPORTED for a kernel and RAM (OVMS-IMP-021). */
export async function machineOut(
  files: LayoutReader,
  {
    name,
    target,
    tag = "latest",
  }: { readonly name: string; readonly target: Descriptor; readonly tag?: string },
  call: Call,
): Promise<MachineOut> {
  const refuse = (what: string, pointer: string) =>
    new OvmError("OVM_UNSUPPORTED", `${name} ${what}, for which a file of a disk has no place`, {
      detail: [{ pointer, reason: what }],
    })
  if (await isSnapshot(files, target, call)) throw refuse("is a snapshot, with RAM", "/ram")
  const { kernel, initrd, variables, layers, disks, manifest, oci } = await readArtifact(files, target, call)
  if (kernel) throw refuse(`has a kernel${initrd ? " and an initrd" : ""}`, "/kernel")
  if (layers.length === 0) throw refuse("has no disk", "/diskLayers")
  const filesOf = (blobs: Artifact["layers"]) => chainOf(files, blobs, name)
  const further = await Promise.all(
    disks.map(async ({ name, readOnly, size, layers }) => ({
      name,
      ...(readOnly && { readOnly }),
      ...(layers ? { layers: await filesOf(layers) } : { size: size ?? 0 }),
    })),
  )
  const { resources, metadata, network } = manifest
  return {
    name: plain(manifest.name.split("/").at(-1) ?? ""),
    tag,
    architecture: manifest.architecture ?? "amd64",
    disks: [{ name: unused(further), layers: await filesOf(layers) }, ...further],
    vcpus: resources?.vcpus ?? VCPUS,
    memory: resources?.memory ?? MEMORY,
    firmware: metadata?.platform?.uefi ? "uefi" : "bios",
    ...(metadata?.platform?.secureBoot && { secureBoot: true }),
    ...(metadata?.platform?.tpm && { tpm: true }),
    ...(variables && {
      leftBehind: [
        "the variables of its firmware are left out, and with them what is to be booted and whose signatures are believed: there is no place for them",
      ],
    }),
    network: network?.[0]?.mode ?? "user",
    annotations: oci.annotations ?? {},
  }
}

function plain(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .slice(0, MOST_NAME)
}

/** For the first disk, which has no name. */
function unused(further: readonly { readonly name: string }[]): string {
  const names = Array.from({ length: further.length + 1 }, (_, at) => `disk${at}`)
  return names.find((name) => !further.some((one) => one.name === name)) as string
}

async function chainOf(files: LayoutReader, blobs: Artifact["layers"], name: string): Promise<ChainFile[]> {
  return await Promise.all(
    blobs.map(async ({ descriptor, format }) => {
      const path = await files.path(descriptor)
      if (path === undefined)
        throw new OvmError("OVM_CONTENT_MISSING", `${name}: ${descriptor.digest} is not here`)
      return { path, format }
    }),
  )
}
