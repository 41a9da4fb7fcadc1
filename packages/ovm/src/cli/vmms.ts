import { OvmError, toOvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import { readDaemonSettings } from "../runtime/settings.ts"
import { availableVmms, spokenOf } from "../vmm/available.ts"
import { adaptersOnPath, findAdapter, isAdapterName, noAdapterName } from "../vmm/exec/find.ts"
import { type Power, powersOf } from "../vmm/powers.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { ownCache } from "./own-cache.ts"

type Place = Pick<Paths, "cache" | "settings">

/** A VMM that machines could run on here. */
export interface VmmListed {
  readonly name: string
  readonly adapter: "built in" | "outside"
  /** The executable of one outside. */
  readonly path?: string
  /** Whether machines of this host's daemon may have it: only then is an adapter outside executed. */
  readonly enabled: boolean
  readonly version?: string
  readonly binary?: string
  readonly accelerator?: string
  readonly accelerator_reason?: string
  readonly accelerators?: readonly string[]
  readonly powers?: readonly Power[]
  /** Why it cannot be used. */
  readonly error?: { readonly code: string; readonly message: string }
}

/** Those that the operator enabled, in that order, then the others. Throws what readDaemonSettings throws. */
export async function listVmms(place: Place): Promise<readonly VmmListed[]> {
  const { vmms: names, jail } = await readDaemonSettings(place.settings)
  const own = availableVmms(ownCache(place), undefined, jail)
  const enabled = names ? availableVmms(ownCache(place), names, jail) : spokenOf(own)
  const others = own.filter(({ name }) => !enabled.some((one) => one.name === name))
  const known = new Set([...enabled, ...others].map(({ name }) => name))
  const isOwn = (name: string) => own.some((one) => one.name === name)
  return await Promise.all([
    ...enabled.map((vmm) => described(vmm, { enabled: true, isOwn: isOwn(vmm.name) })),
    ...others.map((vmm) => described(vmm, { enabled: !names, isOwn: true })),
    ...adaptersOnPath()
      .filter((name) => !known.has(name))
      .map((name) => ({ ...whereIs(name, false), enabled: false })),
  ])
}

/** Throws OVM_USAGE for what no VMM can be called. */
export async function namedVmm({ cache }: Place, name: string): Promise<Vmm> {
  if (!isAdapterName(name)) throw new OvmError("OVM_USAGE", noAdapterName(name), { hint: "ovm vmm ls" })
  const [vmm] = availableVmms(ownCache({ cache }), [name])
  return vmm as Vmm
}

function whereIs(name: string, isOwn: boolean): Pick<VmmListed, "name" | "adapter" | "path"> {
  if (isOwn) return { name, adapter: "built in" }
  const path = findAdapter(name)
  return { name, adapter: "outside", ...(path !== undefined && { path }) }
}

async function described(
  vmm: Vmm,
  { enabled, isOwn }: { readonly enabled: boolean; readonly isOwn: boolean },
): Promise<VmmListed> {
  const where = { ...whereIs(vmm.name, isOwn), enabled }
  try {
    const { version, binary, accelerator, acceleratorReason, accelerators } = await vmm.capabilities()
    const powers = await powersOf(vmm)
    return {
      ...where,
      version,
      binary,
      accelerator,
      accelerator_reason: acceleratorReason,
      accelerators,
      powers,
    }
  } catch (thrown) {
    const { code, message } = toOvmError(thrown)
    return { ...where, error: { code, message } }
  } finally {
    await vmm.close?.()
  }
}
