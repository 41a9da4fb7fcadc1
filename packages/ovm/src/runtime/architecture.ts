import type { Call } from "../content/interfaces.ts"
import { hostCpu } from "../host/cpu.ts"
import type { LaunchPlan, Unsupported } from "../vmm/plan.ts"
import type { Capabilities, GuestKind, Vmm } from "../vmm/vmm.ts"

/** What of a plan a VMM's capabilities depend on. */
export function guestOf({ architecture }: LaunchPlan): GuestKind {
  return architecture ? { architecture } : {}
}

export interface Checked {
  readonly findings: readonly Unsupported[]
  /** Of the VMM, for guests of the host's kind. */
  readonly capabilities: Capabilities
}

/**
 * Vmm.check, and whether the VMM runs guests of this architecture at all; then nothing else is asked. What is not the
 * host's own is said (OVMS-IDX-005). Throws what Vmm.capabilities and Vmm.check throw.
 */
export async function checkedBy(vmm: Vmm, plan: LaunchPlan, call: Call): Promise<Checked> {
  const capabilities = await vmm.capabilities(call)
  const { architectures = ["amd64"] } = capabilities
  const { architecture = "amd64" } = plan
  const found = (severity: Unsupported["severity"], reason: string) => ({
    pointer: "/architecture",
    severity,
    reason,
  })
  if (!architectures.includes(architecture)) {
    const reason = `it runs ${architectures.join(" and ")} here, and not ${architecture}`
    return { findings: [found("fatal", reason)], capabilities }
  }
  const findings = await vmm.check(plan, call)
  const own = hostCpu().architecture
  if (architecture === own) return { findings, capabilities }
  const reason = `${architecture} is not this host's architecture, ${own}: every instruction is emulated`
  return { findings: [...findings, found("degraded", reason)], capabilities }
}
