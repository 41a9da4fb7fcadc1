import type { Call } from "../../../content/interfaces.ts"
import { OvmError } from "../../../errors.ts"
import { isObject } from "../../../objects.ts"
import { ExtFiles } from "./ext.ts"
import { flatten, type LayerFile, type RawDisk } from "./flatten.ts"
import { parseOsRelease, type System } from "./os-release.ts"
import { apkPackages, dpkgPackages, type Package, type PackageList } from "./packages.ts"
import { type Volume, volumesOf } from "./volumes.ts"

/** An installed system that was found on a disk. */
export interface Installed {
  /** In words: "the whole disk" or "partition 2". */
  readonly volume: string
  /** Name of the disk, unless it is the first. */
  readonly disk?: string
  readonly filesystem: string
  readonly system?: System
  readonly packages: readonly Package[]
}

export interface DiskContent {
  readonly installed: readonly Installed[]
  /** What could not be looked into, and why: sentences. */
  readonly gaps: readonly string[]
}

/** Of a list of packages: Debian's whole archive has about as much. */
const LIST_LIMIT = 128 * 1024 * 1024
const RELEASE_LIMIT = 64 * 1024
const LISTS = [
  { path: "/var/lib/dpkg/status", parse: dpkgPackages },
  { path: "/lib/apk/db/installed", parse: apkPackages },
] as const
const RPM = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"]
/** They hold no system: firmware's partition and swap. */
const WITHOUT_SYSTEM: readonly (string | undefined)[] = ["vfat", "swap"]

/**
 * What is installed on the disk that `layers` make, base first. `folder` is for a temporary copy. The disk is a
 * stranger's: everything is bounded, and what cannot be read becomes a gap. Throws OVM_INTERRUPTED, OVM_NO_SPACE.
 */
export async function scanDisk(
  layers: readonly LayerFile[],
  folder: string,
  call: Call = {},
): Promise<DiskContent> {
  const gaps: string[] = []
  const installed: Installed[] = []
  await noting(gaps, "the disk", async () => {
    await using disk = await flatten(layers, folder, call)
    const found = await volumesOf(disk, call)
    gaps.push(...found.gaps.map((gap) => `the disk: ${gap}`))
    for (const volume of found.volumes)
      await noting(gaps, volume.name, async () => {
        const system = await scanVolume(disk, volume, gaps, call)
        if (system) installed.push(system)
      })
  })
  return { installed, gaps }
}

async function scanVolume(
  disk: RawDisk,
  volume: Volume,
  gaps: string[],
  call: Call,
): Promise<Installed | undefined> {
  const { name, type } = volume
  if (WITHOUT_SYSTEM.includes(type)) return undefined
  if (type === undefined || !/^ext[234]$/.test(type)) {
    gaps.push(`${name}: ${type ?? "nothing that is known"} is on it, where only ext2, ext3 and ext4 are read`)
    return undefined
  }
  const files = new ExtFiles(disk, volume, call)
  if (await files.needsRecovery())
    gaps.push(`${name}: its ${type} was in use, and what only its journal has was not read`)
  const system = await systemOf(files, gaps, name)
  const packages: Package[] = []
  for (const { path, parse } of LISTS)
    await noting(gaps, name, async () => {
      const list = await read(files, path, parse)
      packages.push(...(list?.packages ?? []))
      if (list && list.odd > 0) gaps.push(`${name}: ${path} has ${list.odd} entries that are no packages`)
    })
  if (packages.length === 0) gaps.push(`${name}: it has no list of packages of dpkg or apk`)
  for (const path of RPM)
    if (await files.exists(path)) gaps.push(`${name}: ${path} has packages of RPM, which are not read`)
  return { volume: name, filesystem: type, ...(system && { system }), packages }
}

async function systemOf(files: ExtFiles, gaps: string[], name: string): Promise<System | undefined> {
  let found: System | undefined
  // The second is mostly a link to the first, and then the first has answered.
  for (const path of ["/usr/lib/os-release", "/etc/os-release"])
    if (!found)
      await noting(gaps, name, async () => {
        found = await read(files, path, parseOsRelease, RELEASE_LIMIT)
      })
  return found
}

async function read<T extends System | PackageList>(
  files: ExtFiles,
  path: string,
  parse: (text: string) => T | undefined,
  limit = LIST_LIMIT,
): Promise<T | undefined> {
  const bytes = await files.read(path, limit)
  return bytes && parse(bytes.toString("utf8"))
}

/** What cannot be read is a gap; that there is no room, or no more patience, is not. */
async function noting(gaps: string[], what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    if (!(thrown instanceof OvmError) || thrown.code !== "OVM_DISK_INVALID") throw thrown
    gaps.push(`${what}: ${reasonOf(thrown)}`)
  }
}

/** Without the path of the file, which is this host's business. */
function reasonOf({ message, detail }: OvmError): string {
  return isObject(detail) && typeof detail.reason === "string" ? detail.reason : message
}
