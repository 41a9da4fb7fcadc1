import { createHash } from "node:crypto"
import type { Bytes } from "../../content/interfaces.ts"
import { readAll } from "../../content/read.ts"
import { invalid } from "../../disk/file.ts"
import { OvmError } from "../../errors.ts"
import type { ArchivedFile } from "../archive/files.ts"
import { takeDisk } from "../disk.ts"
import { fillBounded } from "../fill.ts"
import type { UnfinishedMachine } from "../found.ts"
import type { FurtherTaken } from "../taken.ts"
import { MOST_BYTES } from "../to-qcow2.ts"
import type { Work } from "../work.ts"
import { filesBeside } from "./beside.ts"
import { type Checksum, readChecksums } from "./checksums.ts"
import { type OvfMachine, readOvf } from "./descriptor.ts"
import { filesInArchive, type PackagedFiles } from "./files.ts"

const DOCUMENT_LIMIT = 2 * 1024 * 1024

interface Package extends PackagedFiles {
  readonly path: string
  readonly label: string
  readonly unpacked: boolean
  readonly work: Work
}

/**
 * Takes the machine of the OVF package `path`: an archive with a descriptor and its disks, or the descriptor, `alone`,
 * with those beside it. Everything but the disks is judged first. Throws OVM_DISK_INVALID for what is wrong with it,
 * OVM_DIGEST_MISMATCH for a checksum, and what takeDisk throws.
 */
export async function takeOvf(
  path: string,
  { alone, ...opening }: Pick<Package, "label" | "unpacked" | "work"> & { readonly alone: boolean },
): Promise<UnfinishedMachine> {
  const { call } = opening.work
  const found = await (alone ? filesBeside(path, call) : filesInArchive(path, call))
  const all: Package = { path, ...opening, ...found }
  const { files, descriptors } = all
  const [name = "", ...others] = descriptors
  const descriptor = files.get(name)
  if (!descriptor || others.length > 0)
    throw invalid(path, `has ${descriptors.length} descriptors, and not one`)
  const checksums = await checksumsOf(all, descriptor)
  const machine = await judged(all, descriptor.name, async () =>
    readOvf(await textIn(all, descriptor), opening.work.call.inPlace),
  )
  for (const name of machine.files)
    if (!files.has(name)) throw invalid(path, `lacks the file ${JSON.stringify(name)} of its descriptor`)
  const hashedLater = new Set(machine.disks.flatMap((disk) => ("file" in disk ? [disk.file] : [])))
  if (checksums) await verified(all, hashedLater, checksums)
  for (const name of checksums ? [descriptor.name, ...machine.files] : [])
    if (!checksums?.has(name)) throw invalid(path, `has no checksum of ${JSON.stringify(name)}`)
  return await disksOf(all, machine, checksums)
}

async function disksOf(
  all: Package,
  { disks, said, left }: OvfMachine,
  checksums: ReadonlyMap<string, Checksum> | undefined,
): Promise<UnfinishedMachine> {
  const { path, label, unpacked, files, work } = all
  const taken: FurtherTaken[] = []
  for (const [at, one] of disks.entries()) {
    const name = `disk${at}`
    if ("size" in one) {
      taken.push({ name, size: one.size })
      continue
    }
    const file = files.get(one.file) as ArchivedFile
    const named = `${label}: ${file.name}`
    const inside = work.file(named)
    await fillBounded(hashed(all, file, checksums?.get(file.name)), { path: inside, most: MOST_BYTES }, () =>
      invalid(path, `${file.name} is of more than ${MOST_BYTES} bytes`),
    )
    taken.push({ name, disk: await takeDisk(inside, { label: named, unpacked }, work) })
  }
  const [first, ...further] = taken
  if (!first || !("disk" in first)) throw invalid(path, "has a machine without a disk to boot from")
  const remarks = left.map((what) => `${label}: ${what} of its descriptor is left out`)
  return { disk: first.disk, further, said, remarks }
}

/** Beside the descriptor, with its name. */
async function checksumsOf(
  all: Package,
  { name }: ArchivedFile,
): Promise<ReadonlyMap<string, Checksum> | undefined> {
  const manifests = [...all.files.values()].filter(({ name }) => /\.mf$/i.test(name))
  const file = manifests[0]
  if (!file) return undefined
  if (manifests.length > 1 || file.name.slice(0, -2).toLowerCase() !== name.slice(0, -3).toLowerCase())
    throw invalid(all.path, `has checksums that are not those of ${name}`)
  return await judged(all, file.name, async () => readChecksums(await textIn(all, file)))
}

/** All but the disks, which are hashed on their way. */
async function verified(
  all: Package,
  disks: ReadonlySet<string>,
  checksums: ReadonlyMap<string, Checksum>,
): Promise<void> {
  for (const [name, checksum] of checksums) {
    const file = all.files.get(name)
    if (!file) throw invalid(all.path, `lacks the file ${JSON.stringify(name)} of its checksums`)
    if (!disks.has(name)) for await (const _ of hashed(all, file, checksum));
  }
}

/** The content of a file. Throws OVM_DIGEST_MISMATCH at its end where it has another checksum. */
async function* hashed(
  { path, content }: Package,
  file: ArchivedFile,
  checksum: Checksum | undefined,
): Bytes {
  const hash = checksum && createHash(checksum.algorithm)
  for await (const chunk of content(file)) {
    hash?.update(chunk)
    yield chunk
  }
  if (!hash || !checksum || hash.digest("hex") === checksum.hex) return
  throw new OvmError(
    "OVM_DIGEST_MISMATCH",
    `${path}: ${file.name} has another checksum than its manifest says`,
    {
      detail: { file: file.name, expected: `${checksum.algorithm}:${checksum.hex}` },
    },
  )
}

async function textIn({ path, content }: Package, file: ArchivedFile): Promise<string> {
  const bytes = await readAll(content(file), DOCUMENT_LIMIT, `${path}: ${file.name}`)
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
}

async function judged<T>({ path }: Package, name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    throw invalid(path, `${name}: ${thrown instanceof Error ? thrown.message : thrown}`)
  }
}
