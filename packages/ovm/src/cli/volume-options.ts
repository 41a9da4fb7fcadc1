import { resolve } from "node:path"
import { OvmError } from "../errors.ts"
import type { ShareUse, VolumeUse } from "../runtime/interfaces.ts"

/** What one `--volume` says: a volume as a further disk, or a folder of this host. */
export type Attached = VolumeUse | ShareUse

/** A path as Docker knows one, beside the name of a volume. */
const FOLDER = /^(\/|\.{1,2}($|[/:]))/

/**
 * NAME[:ro], or HOST:GUEST[:ro] with HOST a path, which is relative to `base`. Throws OVM_USAGE; `of` is what the
 * message begins with.
 */
export function parseVolume(text: string, base = process.cwd(), of = "--volume"): Attached {
  if (FOLDER.test(text)) return shareOf(text, base, of)
  const [name = "", access, ...more] = text.split(":")
  if (name.includes("/"))
    throw new OvmError("OVM_USAGE", `${of}: ${name} is neither the name of a volume nor a path`, {
      hint: "a path begins with /, ./ or ../",
    })
  if (more.length > 0 || !["ro", "rw", undefined].includes(access))
    throw new OvmError(
      "OVM_USAGE",
      `${of}: ${text} is not NAME or NAME:ro: a volume is a disk, which the guest mounts itself`,
      { hint: `a folder of this host begins with a slash or a dot: -v ./${text}` },
    )
  return { name, ...(access === "ro" && { readOnly: true }) }
}

/** From behind: a path of this host may have colons. */
function shareOf(text: string, base: string, of: string): ShareUse {
  const [, source, target, access] = /^(.+?):(\/[^:]*)(?::(ro|rw))?$/.exec(text) ?? []
  if (source === undefined || target === undefined)
    throw new OvmError("OVM_USAGE", `${of}: ${text} is not HOST:GUEST or HOST:GUEST:ro`, {
      hint: `GUEST is an absolute path: -v ${text.split(":")[0]}:/mnt`,
    })
  return { source: resolve(base, source), target, ...(access === "ro" && { readOnly: true }) }
}

/** As the overrides of a start have them. */
export function attachedOverrides(attached: readonly Attached[] | undefined): {
  readonly volumes?: readonly VolumeUse[]
  readonly shares?: readonly ShareUse[]
} {
  const shares = attached?.filter((one): one is ShareUse => "source" in one) ?? []
  const volumes = attached?.filter((one): one is VolumeUse => "name" in one) ?? []
  return { ...(volumes.length > 0 && { volumes }), ...(shares.length > 0 && { shares }) }
}
