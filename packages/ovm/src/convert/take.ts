import { invalid } from "../disk/file.ts"
import { OvmError } from "../errors.ts"
import { type ArchivedFile, archivedFiles, contentIn } from "./archive/files.ts"
import { takeDisk } from "./disk.ts"
import { fillBounded } from "./fill.ts"
import { firmwareOf } from "./firmware.ts"
import type { UnfinishedMachine } from "./found.ts"
import { type ArchiveKind, sourceKind } from "./source.ts"
import type { FurtherTaken, TakenDisk, TakenMachine } from "./taken.ts"
import { MOST_BYTES } from "./to-qcow2.ts"
import { unpack } from "./unpack.ts"
import { disksOfBox, TAKE_OUT } from "./vagrant.ts"
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
  const { unpacked, work } = opening
  const alone = kind === "ovf"
  if (alone && unpacked) throw invalid(path, "is the descriptor of an OVF package, and not beside its files")
  if (alone || kind === "ova")
    return await (await import("./ovf/take.ts")).takeOvf(path, { ...opening, alone })
  if (kind === "oci") throw invalid(path, "is the archive of an OCI layout: oci-archive:FILE, not compressed")
  const files = await archivedFiles(path, work.call)
  const [first, ...others] = (await disksOfBox(path, files, work.call)) ?? [onlyOf(path, files)]
  if (!first) throw invalid(path, "is a box without disks")
  const disk = await diskIn(path, first, opening)
  const further: FurtherTaken[] = []
  for (const [at, file] of others.entries())
    further.push({ name: `disk${at + 1}`, disk: await diskIn(path, file, opening) })
  return { disk, further }
}

/** The only file, which is the disk (OVMS-IMP-060). */
function onlyOf(path: string, files: readonly ArchivedFile[]): ArchivedFile {
  const [only, ...others] = files
  if (only && others.length === 0) return only
  const names = files.slice(0, 5).map(({ name }) => name)
  throw invalid(
    path,
    `has ${files.length} files, where the disk has to be the only one: ${names.join(", ")}`,
    TAKE_OUT,
  )
}

async function diskIn(
  path: string,
  file: ArchivedFile,
  { label, unpacked, work }: Opening,
): Promise<TakenDisk> {
  const named = `${label}: ${file.name}`
  const inside = work.file(named)
  const tooMuch = () => invalid(path, `${file.name} is of more than ${MOST_BYTES} bytes`)
  await fillBounded(contentIn(path, file, work.call), { path: inside, most: MOST_BYTES }, tooMuch)
  return await takeDisk(inside, { label: named, unpacked }, work)
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
