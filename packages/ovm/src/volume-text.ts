import { resolve } from "node:path"
import { OvmError } from "./errors.ts"

/** What one `--volume` says: a volume as a further disk, or a folder of this host. */
export type Attached = NamedVolume | HostFolder

export interface NamedVolume {
  readonly name: string
  readonly readOnly?: true
}

export interface HostFolder {
  readonly source: string
  readonly target: string
  readonly readOnly?: true
}

/** A path as Docker knows one, beside the name of a volume. */
const FOLDER = /^(\/|\.{1,2}($|[/:]))/

/**
 * NAME[:ro], or HOST:GUEST[:ro] with HOST a path, which is relative to `base`. Throws OVM_USAGE.
 */
export function parseVolume(text: string, base = process.cwd()): Attached {
  if (FOLDER.test(text)) return folderOf(text, base)
  const [name = "", access, ...more] = text.split(":")
  if (name.includes("/"))
    throw new OvmError("OVM_USAGE", `--volume: ${name} is neither the name of a volume nor a path`, {
      hint: "a path begins with /, ./ or ../",
    })
  if (more.length > 0 || !["ro", "rw", undefined].includes(access))
    throw new OvmError(
      "OVM_USAGE",
      `--volume: ${text} is not NAME or NAME:ro: a volume is a disk, which the guest mounts itself`,
      { hint: `a folder of this host begins with a slash or a dot: -v ./${text}` },
    )
  return { name, ...(access === "ro" && { readOnly: true }) }
}

/** From behind: a path of this host may have colons. */
function folderOf(text: string, base: string): HostFolder {
  const [, source, target, access] = /^(.+?):(\/[^:]*)(?::(ro|rw))?$/.exec(text) ?? []
  if (source === undefined || target === undefined)
    throw new OvmError("OVM_USAGE", `--volume: ${text} is not HOST:GUEST or HOST:GUEST:ro`, {
      hint: `GUEST is an absolute path: -v ${text.split(":")[0]}:/mnt`,
    })
  return { source: resolve(base, source), target, ...(access === "ro" && { readOnly: true }) }
}
