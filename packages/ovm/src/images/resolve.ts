import { machineFor } from "../artifact/platforms/machines.ts"
import { hostPlatform } from "../artifact/platforms/platform.ts"
import { isIndex, readMachineIndex, type Sought } from "../artifact/platforms/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutReader } from "../content/layout/reader.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import { parseReference, type Reference } from "../registry/reference.ts"

/**
 * What a reference stands for in the store. With `strict`, content of a digest counts only if the store has it under a
 * name of the same repository (OVMS-POL-016). Throws OVM_NAME_UNKNOWN.
 */
export async function resolveHere(
  store: LayoutStore,
  reference: Reference,
  strict: boolean,
  call: Call,
): Promise<Descriptor> {
  const target = await store.resolve(reference.toString(), call)
  if (!strict || reference.digest === undefined) return target
  for await (const { reference: name, target: other } of store.list(call))
    if (other.digest === target.digest && repositoryOf(name) === reference.name) return target
  throw new OvmError(
    "OVM_NAME_UNKNOWN",
    `${reference.name} has nothing of the digest ${reference.digest} on this host`,
    { hint: "ovm images" },
  )
}

/**
 * False where `target` is an index whose machine for the platform is not here: of an index that was pulled some may not
 * be (OVMS-IDX-023). Throws OVM_PLATFORM_MISSING, and what reading the index throws.
 */
export async function hasMachine(
  store: LayoutReader,
  target: Descriptor,
  { platform = hostPlatform(), ...call }: Sought,
): Promise<boolean> {
  if (!isIndex(target)) return true
  const what = `the index ${target.digest}`
  const { descriptor } = machineFor(await readMachineIndex(store, target, call), platform, what)
  return await store.exists(descriptor, call)
}

/** Other tools may have put names into the layout that are no references. */
function repositoryOf(name: string): string | undefined {
  try {
    return parseReference(name).name
  } catch {
    return undefined
  }
}
