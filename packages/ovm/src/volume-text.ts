import { resolve } from "node:path"
import { OvmError } from "./errors.ts"

/** What one `--volume` says: a volume as a further disk, or a folder of this host, at a place or for a share. */
export type Attached = NamedVolume | HostFolder | GivenFolder

export interface NamedVolume {
  readonly name: string
  readonly readOnly?: true
}

export interface HostFolder {
  readonly source: string
  readonly target: string
  readonly readOnly?: true
}

/** A folder for a share that the image names. */
export interface GivenFolder {
  readonly source: string
  readonly name: string
  readonly readOnly?: true
}

/** A path as Docker knows one, beside the name of a volume. */
const FOLDER = /^(\/|\.{1,2}($|[/:]))/

/** What names a share of an image, before its folder. */
const SHARE = /^([a-z][a-z0-9-]{0,31})=(.*)$/s

/**
 * NAME[:ro], or HOST:GUEST[:ro] or SHARE=HOST[:ro] with HOST a path, which is relative to `base`. Throws OVM_USAGE.
 */
export function parseVolume(text: string, base = process.cwd()): Attached {
  if (FOLDER.test(text)) return folderOf(text, base)
  const [, share, folder] = SHARE.exec(text) ?? []
  if (share !== undefined && folder !== undefined) return givenFolder(share, folder, base)
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

/** The whole rest is the path: where the guest sees it, the image says. */
function givenFolder(name: string, text: string, base: string): GivenFolder {
  const [, source = "", access] = /^(.*?)(?::(ro|rw))?$/s.exec(text) ?? []
  if (!FOLDER.test(source))
    throw new OvmError("OVM_USAGE", `--volume: ${name}=${text} is not SHARE=HOST or SHARE=HOST:ro`, {
      hint: `HOST is a path, which begins with /, ./ or ../: -v ${name}=./${text}`,
    })
  return { source: resolve(base, source), name, ...(access === "ro" && { readOnly: true }) }
}
