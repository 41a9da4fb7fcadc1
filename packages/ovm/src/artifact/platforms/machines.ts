import type { Descriptor } from "../../content/descriptor.ts"
import { OvmError } from "../../errors.ts"
import { isManifestType, saysSomething } from "../types.ts"
import type { OciIndex, PlatformEntry } from "./index-document.ts"
import type { Platform } from "./platform.ts"

/** A machine of an index. */
export interface IndexMachine {
  readonly platform: Platform
  readonly descriptor: Descriptor
}

/** Every arm64 processor is one. */
const PLAIN_VARIANTS: Readonly<Record<string, string>> = { arm64: "v8" }

/** The machines of an index, in its order; entries of another kind are passed over (OVMS-IDX-017). */
export function machinesIn({ manifests }: OciIndex): readonly IndexMachine[] {
  return manifests.flatMap(({ platform, ...descriptor }) => {
    if (!platform || !isMachine(descriptor.artifactType) || !isPlain(platform)) return []
    return { platform: `${platform.os}/${platform.architecture}` as const, descriptor }
  })
}

function isMachine(type: string | undefined): boolean {
  return !saysSomething(type) || isManifestType(type)
}

function isPlain({ os, architecture, variant }: NonNullable<PlatformEntry["platform"]>): boolean {
  if (os === "unknown" || architecture === "unknown") return false
  return variant === undefined || variant === PLAIN_VARIANTS[architecture]
}

/** The machine for `platform` (OVMS-IDX-018). Throws OVM_PLATFORM_MISSING. */
export function machineFor(index: OciIndex, platform: Platform, what: string): IndexMachine {
  const machines = machinesIn(index)
  const found = machines.find((one) => one.platform === platform)
  if (found) return found
  throw platformMissing(
    what,
    platform,
    machines.map((one) => one.platform),
  )
}

/** OVMS-IDX-019. */
export function platformMissing(what: string, platform: Platform, there: readonly Platform[]): OvmError {
  const platforms = [...new Set(there)]
  const others = platforms.length > 0 ? `only for ${platforms.join(", ")}` : "and for no other platform"
  const [first] = platforms
  return new OvmError("OVM_PLATFORM_MISSING", `${what} has no machine for ${platform}, ${others}`, {
    detail: { platform, platforms },
    ...(first && { hint: `--platform ${first}` }),
  })
}
