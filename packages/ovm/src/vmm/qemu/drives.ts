import type { DiskLayer, DiskPlan, FurtherDiskPlan, GuestModel, LaunchPlan, VolumePlan } from "../plan.ts"
import { firstBootSize } from "./model.ts"
import { asJson } from "./options.ts"

/**
 * One node a layer, each with an explicit backing node, the bottom with none: what a header claims is never opened
 * (CVE-2024-32498), and the read-only files keep their digests.
 */
export function diskChain(
  { layers: below, ephemeral }: Pick<DiskPlan, "layers" | "ephemeral">,
  overlay: string | undefined,
  name = "",
): { readonly nodes: string[]; readonly top: string } {
  const node = (index: number) => `${name}layer${index}`
  const layers: (DiskLayer & { readonly writable?: true })[] = [...below]
  if (overlay !== undefined) layers.push({ path: overlay, format: "qcow2", writable: true })
  const nodes = layers.flatMap((layer, index) => {
    const { format, writable } = layer
    const access = { "read-only": !writable, ...(writable ? writes(ephemeral) : {}) }
    const backing = format === "raw" ? {} : { backing: index === 0 ? null : node(index - 1) }
    const file = `${name}file${index}`
    return [
      ...asJson("-blockdev", { ...bytesOf(layer), "node-name": file, ...access }),
      ...asJson("-blockdev", { driver: format, "node-name": node(index), file, ...access, ...backing }),
    ]
  })
  return { nodes, top: node(layers.length - 1) }
}

/** `overlay`: the qcow2 on top of its layers; absent for one that the guest cannot write to. */
export function firstDrive({ disk }: LaunchPlan, overlay: string | undefined): string[] {
  if (!disk) return []
  const { nodes, top } = diskChain(disk, overlay)
  const device = { driver: "virtio-blk-pci", id: "disk", drive: top, ...onErrorOf(overlay !== undefined) }
  return [...nodes, ...asJson("-device", device)]
}

export function furtherDrive(disk: FurtherDiskPlan, index: number): string[] {
  const id = `disk${index}`
  const { name, overlay } = disk
  const { nodes, top } = diskChain(disk, overlay, `${id}-`)
  const device = {
    driver: "virtio-blk-pci",
    id,
    drive: top,
    serial: name,
    ...onErrorOf(overlay !== undefined),
  }
  return [...nodes, ...asJson("-device", device)]
}

/** One that is resumed has read it: it sees as many zeros (OVMS-FBC-007). */
export function firstBootDrive({ firstBoot }: LaunchPlan, { devices }: GuestModel): string[] {
  const size = firstBootSize(devices)
  if (size === undefined) return []
  const source = firstBoot
    ? { driver: "file", filename: firstBoot.path }
    : { driver: "null-co", size, "read-zeroes": true }
  const node = "first-boot"
  return [
    ...asJson("-blockdev", { ...source, "node-name": node, "read-only": true }),
    ...asJson("-device", { driver: "virtio-blk-pci", id: node, drive: node }),
  ]
}

/** QEMU locks the file: where nobody else saw to it, a second machine does not start. */
export function volumeDrive({ path, serial, readOnly }: VolumePlan, index: number): string[] {
  const node = `volume${index}`
  const access = readOnly ? { "read-only": true } : { "read-only": false, discard: "unmap" }
  const file = { driver: "file", filename: path, locking: "on", "node-name": `${node}-file`, ...access }
  return [
    ...asJson("-blockdev", file),
    ...asJson("-blockdev", { driver: "raw", "node-name": node, file: `${node}-file`, ...access }),
    ...asJson("-device", {
      driver: "virtio-blk-pci",
      id: node,
      drive: node,
      serial,
      ...onErrorOf(!readOnly),
    }),
  ]
}

/** Where the bytes of a layer come from, for QEMU's protocol driver. */
function bytesOf(layer: DiskLayer): Record<string, unknown> {
  if ("path" in layer) return { driver: "file", filename: layer.path }
  return { driver: "nbd", server: { type: "unix", path: layer.socket }, export: layer.export }
}

/**
 * How the nodes of a disk that the guest writes to are opened. What an `ephemeral` machine writes is not brought to the
 * host's disk when its guest asks for that, nor in the pause of a snapshot, which stores a copy that is
 * (docs/design/0023).
 */
export function writes(ephemeral = false) {
  return { discard: "unmap", cache: { "no-flush": ephemeral } } as const
}

/**
 * What the host cannot do has the guest stand still, with the request kept, rather than be told of a broken disk:
 * whoever makes room has it go on as if nothing had been. A write to a disk that is read-only is the guest's own fault.
 */
function onErrorOf(writable: boolean) {
  return { werror: writable ? "stop" : "report", rerror: "stop" }
}
