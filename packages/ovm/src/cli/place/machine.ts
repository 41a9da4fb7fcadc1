import type { FoundMachine, Sought } from "../../artifact/platforms/read.ts"
import { OCI_INDEX } from "../../content/manifest.ts"
import { OvmError } from "../../errors.ts"
import type { Opened } from "./open.ts"

/**
 * What was opened as one machine: of an index that for the platform, with the index. Throws what machineBehind throws.
 */
export async function oneMachine<T extends Opened>(
  opened: T,
  sought: Sought,
): Promise<T & Pick<FoundMachine, "index">> {
  const { source, target, files, name } = opened
  const isIndex = target.mediaType === OCI_INDEX
  // Most are one machine: what reads indexes and snapshots is not loaded for them.
  if (!isIndex && sought.platform === undefined) return opened
  const { machineBehind } = await import("../../artifact/platforms/read.ts")
  const found = await machineBehind(source, target, sought).catch((thrown: unknown) => {
    const missing = thrown instanceof OvmError && thrown.code === "OVM_CONTENT_MISSING"
    if (!missing || !files || !isIndex) throw thrown
    // Of an index that was pulled some machines are not here (OVMS-IDX-023).
    const { platform } = sought
    const which = platform ? `--platform ${platform} ` : ""
    const hint = `ovm pull ${which}${name}`
    throw new OvmError(thrown.code, `${name}: ${thrown.message}`, { cause: thrown, hint })
  })
  return { ...opened, ...found }
}
