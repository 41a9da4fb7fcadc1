import type { InPlace } from "../resources.ts"
import type { SaidOfMachine } from "../taken.ts"
import { type Hardware, hardwareOf } from "./hardware.ts"
import { bytesInUnit } from "./units.ts"
import { childrenOf, type Element, parseXml } from "./xml.ts"

// DMTF's Open Virtualization Format, DSP0243 (1.1) and (2.1).
const NAMESPACE = /^http:\/\/schemas\.dmtf\.org\/ovf\/envelope\/[12]$/

/** A disk of an OVF package: in a file of it, or empty. */
export type OvfDisk = { readonly file: string } | { readonly size: number }

export interface OvfMachine {
  /** As they are attached, the first one first. */
  readonly disks: readonly OvfDisk[]
  readonly said: SaidOfMachine
  /** All files that it refers to. */
  readonly files: readonly string[]
  /** What of it is left out: words. */
  readonly left: readonly string[]
}

/** Reads a descriptor, with `inPlace` as the last word. Throws an Error that says what is wrong with it. */
export function readOvf(text: string, inPlace?: InPlace): OvfMachine {
  const envelope = parseXml(text)
  if (envelope.name !== "Envelope" || !NAMESPACE.test(envelope.uri)) throw new Error("it is no OVF envelope")
  const files = filesOf(envelope)
  const disks = disksOf(envelope, files)
  const hardware = hardwareOf(systemOf(envelope), defaultConfiguration(envelope), inPlace)
  const { said, left } = hardware
  return { disks: attached(hardware, disks), said, files: [...files.values()], left }
}

/** By their ids. Those that lie elsewhere, or in parts, are refused. */
function filesOf(envelope: Element): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const { attributes } of childrenOf(envelope, "References").flatMap((one) => childrenOf(one, "File"))) {
    const { id = "", href = "", chunkSize } = attributes
    if (href === "" || /[/\\\0]|^\.\.?$|^\w+:/.test(href))
      throw new Error(`its file ${JSON.stringify(href)} is not in the archive`)
    if (chunkSize !== undefined) throw new Error(`its file ${JSON.stringify(href)} is in several parts`)
    if (found.has(id) || [...found.values()].includes(href))
      throw new Error(`it has two files ${JSON.stringify(href)}`)
    found.set(id, href)
  }
  return found
}

function disksOf(envelope: Element, files: ReadonlyMap<string, string>): ReadonlyMap<string, OvfDisk> {
  const found = new Map<string, OvfDisk>()
  for (const { attributes } of childrenOf(envelope, "DiskSection").flatMap((one) =>
    childrenOf(one, "Disk"),
  )) {
    const { diskId = "", fileRef, parentRef, capacity = "", capacityAllocationUnits = "byte" } = attributes
    if (found.has(diskId)) throw new Error(`it has two disks ${JSON.stringify(diskId)}`)
    if (parentRef) throw new Error(`its disk ${JSON.stringify(diskId)} is what differs from another one`)
    if (!fileRef) {
      const size =
        Number(/^\d{1,15}$/.exec(capacity)?.[0]) * (bytesInUnit(capacityAllocationUnits) ?? Number.NaN)
      if (!Number.isSafeInteger(size)) throw new Error(`its disk ${JSON.stringify(diskId)} has no size`)
      found.set(diskId, { size })
      continue
    }
    const file = files.get(fileRef)
    if (file === undefined) throw new Error(`its disk ${JSON.stringify(diskId)} has no file`)
    found.set(diskId, { file })
  }
  return found
}

function systemOf(envelope: Element): Element {
  const systems = childrenOf(envelope, "VirtualSystem", "VirtualSystemCollection")
  const [only, ...others] = systems
  if (only?.name === "VirtualSystem" && others.length === 0) return only
  throw new Error(only ? "it has several machines" : "it has no machine")
}

/** Those of its hardware that are for others are left out. */
function defaultConfiguration(envelope: Element): string | undefined {
  const all = childrenOf(envelope, "DeploymentOptionSection").flatMap((one) =>
    childrenOf(one, "Configuration"),
  )
  return (all.find(({ attributes }) => attributes.default === "true") ?? all[0])?.attributes.id
}

/** Disks that nothing attaches are the machine's too where it attaches none. */
function attached({ drives }: Hardware, disks: ReadonlyMap<string, OvfDisk>): readonly OvfDisk[] {
  if (drives.length === 0) return [...disks.values()]
  if (new Set(drives).size < drives.length) throw new Error("it attaches a disk twice")
  return drives.map((id) => {
    const disk = disks.get(id)
    if (!disk) throw new Error(`it attaches a disk ${JSON.stringify(id)}, which it does not have`)
    return disk
  })
}
