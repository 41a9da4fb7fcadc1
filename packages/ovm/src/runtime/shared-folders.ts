import { constants } from "node:fs"
import { access, realpath, stat } from "node:fs/promises"
import { posix } from "node:path"
import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import type { PreparedImage } from "../images/prepared.ts"
import type { LaunchPlan, SharePlan } from "../vmm/plan.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import { placeShares } from "./named-shares.ts"

type Shown = Pick<InstanceInfo, "shares">

/**
 * The folders that a machine of this image with these overrides is to see (spec/shares.md); `root` holds the runtime's
 * own state. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED, OVM_UNSUPPORTED for what is no folder,
 * OVM_REQUEST_INVALID.
 */
export async function planShares(
  { shares = [] }: Overrides,
  image: PreparedImage,
  root: string,
): Promise<readonly SharePlan[]> {
  const placed = placeShares(shares, image).map((one) => ({ ...one, target: posix.join(one.target, ".") }))
  const targets = placed.map(({ target }) => target)
  const twice = targets.find((target, at) => targets.indexOf(target) !== at)
  if (twice !== undefined) throw invalid(`${twice} is the target of two [OVMS-SHR-004]`)
  return await Promise.all(
    placed.map(async (share, index) => {
      await assertShareable(share.source, share.readOnly, root)
      // No name of a manifest has a dot.
      return { ...share, tag: `ovm.${index}` }
    }),
  )
}

async function assertShareable(source: string, readOnly: boolean, root: string): Promise<void> {
  const found = await guarded(() => stat(source))
  if (!found.isDirectory())
    throw new OvmError("OVM_UNSUPPORTED", `${source}: only a folder can be shared`, {
      detail: [{ pointer: "shares", reason: `${source} is no folder` }],
      hint: "share the folder that it is in, or ovm cp",
    })
  const wanted = constants.R_OK | constants.X_OK | (readOnly ? 0 : constants.W_OK)
  await guarded(() => access(source, wanted))
  const [folder, own] = [await realpath(source), await realpath(root)]
  if (isWithin(folder, own) || isWithin(own, folder))
    throw invalid(`${source}: the state of this daemon is there, ${root} [OVMS-SHR-003]`)
}

function isWithin(path: string, folder: string): boolean {
  return `${path}/`.startsWith(folder === "/" ? "/" : `${folder}/`)
}

function invalid(why: string): OvmError {
  return new OvmError("OVM_REQUEST_INVALID", `overrides.shares: ${why}`)
}

/** What a status says of a plan. */
export function shownShares({ shares = [] }: LaunchPlan): Shown {
  if (shares.length === 0) return {}
  return {
    shares: shares.map(({ name, source, target, readOnly }) => ({
      ...(name !== undefined && { name }),
      source,
      target,
      read_only: readOnly,
      mounted: false,
    })),
  }
}
