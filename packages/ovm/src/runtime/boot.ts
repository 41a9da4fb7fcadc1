import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { PreparedImage } from "../images/prepared.ts"
import { spokenOf } from "../vmm/available.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { agentBoot, comesByInitrd } from "./agent-boot.ts"
import { checkedBy, guestOf } from "./architecture.ts"
import { firstBootFile } from "./first-boot.ts"
import type { Overrides } from "./interfaces.ts"
import { honoured, stranded } from "./network.ts"
import { type LaunchRequest, type Planned, planOf } from "./plan.ts"
import { crowded } from "./share.ts"
import { refusalOf, sentence } from "./unsupported.ts"

/**
 * How the image is booted: by the first VMM, in the order of override, manifest's hint and installation, that is there
 * and can honour the plan. Throws OVM_UNSUPPORTED with every fatal finding of the first candidate,
 * OVM_UEFI_UNSUPPORTED, OVM_VMM_MISSING.
 */
export async function planBoot(
  vmms: readonly Vmm[],
  request: LaunchRequest,
  image: PreparedImage,
  call: Call = {},
): Promise<Planned> {
  const { plan, make } = bootPlan(request, image)
  let refusal: OvmError | undefined
  for (const vmm of vmmsInOrder(vmms, image, request.overrides))
    try {
      const { findings, capabilities } = await checkedBy(vmm, plan, call)
      const refused = refusalOf(`${vmm.name} cannot run ${image.reference}`, findings)
      if (refused) {
        refusal ??= refused
        continue
      }
      const possible = honoured(plan, findings)
      return {
        image,
        capabilities: plan.architecture
          ? await vmm.capabilities({ ...call, ...guestOf(plan) })
          : capabilities,
        plan: possible,
        warnings: [...image.warnings, ...crowded(possible), ...stranded(possible), ...findings.map(sentence)],
        go: async (call) => {
          await make()
          return await vmm.launch(possible, call)
        },
      }
    } catch (error) {
      if (!(error instanceof OvmError && error.code === "OVM_VMM_MISSING")) throw error
      refusal ??= error
    }
  throw refusal ?? new OvmError("OVM_VMM_MISSING", "this runtime has no VMM")
}

/** What a VMM is to boot, and what makes the files for that. Throws as planOf and firstBootFile do. */
export function bootPlan(
  request: LaunchRequest,
  image: PreparedImage,
): { readonly plan: LaunchPlan; make(): Promise<void> } {
  const planned = planOf(request, image)
  // Where it cannot come behind an initrd, the guest takes it from the disk of its first boot.
  const firstBoot = firstBootFile(request, planned.agent === true && !comesByInitrd(planned))
  const { plan, make } = agentBoot({ ...planned, ...firstBoot?.planned })
  return {
    plan,
    make: async () => {
      await firstBoot?.make()
      await make()
    },
  }
}

/**
 * The VMMs that may be taken, in the order in which they are tried (OVMS-API-470): `preferredRuntime` only orders what
 * the operator enabled; it is the artifact's wish, not a right. Throws OVM_UNSUPPORTED where none is called as wanted.
 */
export function vmmsInOrder(
  vmms: readonly Vmm[],
  image: PreparedImage,
  overrides: Overrides,
): readonly Vmm[] {
  if (overrides.vmm !== undefined) {
    const named = vmms.filter((vmm) => vmm.name === overrides.vmm)
    if (named.length > 0) return named
    const names = vmms.map((vmm) => vmm.name)
    throw new OvmError(
      "OVM_UNSUPPORTED",
      `vmm: there is no VMM ${JSON.stringify(overrides.vmm)} here, only ${names.join(", ")}`,
      {
        detail: [{ pointer: "vmm", reason: `not one of ${names.join(", ")}` }],
      },
    )
  }
  const preferred = image.manifest.runtimeHints?.preferredRuntime ?? []
  const rank = (vmm: Vmm) => (preferred.includes(vmm.name) ? preferred.indexOf(vmm.name) : preferred.length)
  return spokenOf(vmms).toSorted((a, b) => rank(a) - rank(b))
}
