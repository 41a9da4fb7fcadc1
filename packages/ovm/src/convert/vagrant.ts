import type { Call } from "../content/interfaces.ts"
import { readAll } from "../content/read.ts"
import { invalid } from "../disk/file.ts"
import { isObject } from "../objects.ts"
import { type ArchivedFile, contentIn } from "./archive/files.ts"

const METADATA = "metadata.json"
const LIMIT = 256 * 1024
/** What helps where it is not told which file of an archive is the disk. */
export const TAKE_OUT = "tar xf takes the files out; ovm import of the one that is the disk"

/**
 * The disks of a box of Vagrant's for libvirt among the `files` of the tar archive `path`, the first one first
 * (OVMS-IMP-086); undefined for what is no box. Throws OVM_DISK_INVALID for a box of another provider without an OVF,
 * and where its `metadata.json` is wrong.
 */
export async function disksOfBox(
  path: string,
  files: readonly ArchivedFile[],
  call: Call,
): Promise<readonly ArchivedFile[] | undefined> {
  const metadata = files.find(({ name }) => name === METADATA)
  if (!metadata || files.length < 2) return undefined
  const { provider, disks } = await documentIn(path, metadata, call)
  if (provider === undefined) return undefined
  if (provider !== "libvirt")
    throw invalid(
      path,
      `${METADATA}: /provider: ${JSON.stringify(provider)}: of Vagrant's boxes those for libvirt and VirtualBox are taken`,
      TAKE_OUT,
    )
  const left = new Map(files.map((file) => [file.name, file]))
  return namesOf(path, disks).map(([pointer, name]) => {
    const file = typeof name === "string" && left.get(name)
    if (!file)
      throw invalid(
        path,
        `${METADATA}: ${pointer}: ${JSON.stringify(name) ?? "nothing"} is no file of the box, or twice`,
      )
    left.delete(file.name)
    return file
  })
}

async function documentIn(path: string, file: ArchivedFile, call: Call): Promise<Record<string, unknown>> {
  const bytes = await readAll(contentIn(path, file, call), LIMIT, `${path}: ${METADATA}`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    throw invalid(path, `${METADATA}: is not JSON`)
  }
  if (!isObject(value)) throw invalid(path, `${METADATA}: is no object`)
  return value
}

/** Where the document says so, and what. One that says nothing of disks has one, of that name. */
function namesOf(path: string, disks: unknown): readonly (readonly [pointer: string, name: unknown])[] {
  if (disks === undefined) return [["/disks", "box.img"]]
  if (!Array.isArray(disks)) throw invalid(path, `${METADATA}: /disks: is no list of disks`)
  return disks.map((disk, at) => [`/disks/${at}/path`, isObject(disk) ? disk.path : undefined])
}
