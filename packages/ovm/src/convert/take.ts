import { invalid } from "../disk/file.ts"
import { OvmError } from "../errors.ts"
import { archivedFiles, contentIn } from "./archive/files.ts"
import { takeDisk } from "./disk.ts"
import { fillBounded } from "./fill.ts"
import { firmwareOf } from "./firmware.ts"
import type { UnfinishedMachine } from "./found.ts"
import { type ArchiveKind, sourceKind } from "./source.ts"
import type { TakenMachine } from "./taken.ts"
import { MOST_BYTES } from "./to-qcow2.ts"
import { unpack } from "./unpack.ts"
import { type TakeCall, Work } from "./work.ts"
import type { Workplace } from "./workplace.ts"

/**
 * Takes in the machine in the file `path`: a disk, or an archive with one, which may be compressed (spec/import.md).
 * `named` is what it is called in what is said. Throws OVM_DISK_INVALID for what is none, and what unpack, toQcow2 and
 * readTar throw.
 */
export async function takeFile(
  { path, named }: { readonly path: string; readonly named: string },
  place: Workplace,
  call: TakeCall = {},
): Promise<TakenMachine> {
  const work = new Work(place, call)
  work.called(path, named)
  return await work.labelled(async () => finish(await fromFile(path, named, work), named))
}

/** What is in the file `path`, as takeFile takes it. */
export async function fromFile(path: string, label: string, work: Work): Promise<UnfinishedMachine> {
  const kind = await sourceKind(path)
  if ("archive" in kind) return await fromArchive(path, kind.archive, { label, unpacked: false, work })
  if ("format" in kind) return { disk: await takeDisk(path, { label }, work) }
  const inside = work.file(label)
  await unpack(path, kind.packing, { path: inside, most: MOST_BYTES }, work.call)
  const inner = await sourceKind(inside)
  if ("packing" in inner)
    throw invalid(path, `is compressed by ${kind.packing}, and by ${inner.packing} again`)
  if ("archive" in inner) return await fromArchive(inside, inner.archive, { label, unpacked: true, work })
  return { disk: await takeDisk(inside, { label, unpacked: true }, work) }
}

interface Opening {
  readonly label: string
  /** What is in it may not be compressed again. */
  readonly unpacked: boolean
  readonly work: Work
}

async function fromArchive(path: string, kind: ArchiveKind, opening: Opening): Promise<UnfinishedMachine> {
  const { label, unpacked, work } = opening
  const alone = kind === "ovf"
  if (alone && unpacked) throw invalid(path, "is the descriptor of an OVF package, and not beside its files")
  if (alone || kind === "ova")
    return await (await import("./ovf/take.ts")).takeOvf(path, { ...opening, alone })
  if (kind === "oci") throw invalid(path, "is the archive of an OCI layout: oci-archive:FILE, not compressed")
  const files = await archivedFiles(path, work.call)
  const [only, ...others] = files
  if (!only || others.length > 0) {
    const names = files.slice(0, 5).map(({ name }) => name)
    throw invalid(path, `has ${files.length} files, and not one that is a disk: ${names.join(", ")}`)
  }
  const inside = work.file(`${label}: ${only.name}`)
  const tooMuch = () => invalid(path, `${only.name} is of more than ${MOST_BYTES} bytes`)
  await fillBounded(contentIn(path, only, work.call), { path: inside, most: MOST_BYTES }, tooMuch)
  return { disk: await takeDisk(inside, { label: `${label}: ${only.name}`, unpacked }, work) }
}

/** Knows what boots it, and says all that is to be said. */
export async function finish(found: UnfinishedMachine, named: string): Promise<TakenMachine> {
  const { disk, further = [], said = {}, annotations, remarks = [] } = found
  const { firmware, why, driveAlone } = said.firmware
    ? { firmware: said.firmware, why: "its descriptor says so" }
    : await firmwareOf(disk.path)
  if (driveAlone)
    throw new OvmError("OVM_UNSUPPORTED", `${named} is a CD-ROM that does not boot as a disk`, {
      hint: `${named} as a further disk with readOnly of a machine that boots: ovm pack -f`,
    })
  const left = [disk, ...further.flatMap((one) => ("disk" in one ? [one.disk] : []))]
  return {
    disk,
    further,
    said: { ...said, firmware },
    ...(annotations && { annotations }),
    remarks: [
      ...left.flatMap((one) => one.remarks),
      ...remarks,
      `${named}: boots by ${firmware.toUpperCase()}: ${why}`,
    ],
  }
}
