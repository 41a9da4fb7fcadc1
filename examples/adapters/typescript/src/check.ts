import { busesOf, MOST_BUSES } from "./command-line.ts"
import type { Finding, Plan } from "./contract.ts"
import { ACCELERATORS } from "./qemu.ts"

const MiB = 2 ** 20
/** Linux's COMMAND_LINE_SIZE, less what QEMU says there of its devices. */
const MOST_ARGS = 1400

/** Everything that this machine type cannot honour. */
export function findings(plan: Plan): readonly Finding[] {
  const found: Finding[] = []
  const fatal = (pointer: string, reason: string) => found.push({ pointer, severity: "fatal", reason })
  const { kernel, resources, ignition, accelerator, generationId, devices = [] } = plan
  if (!kernel) fatal("/kernel", "microvm has no firmware that boots a disk, and the machine no kernel")
  if (kernel && (/\p{Cc}/u.test(kernel.args) || Buffer.byteLength(kernel.args) > MOST_ARGS))
    fatal("/kernel/args", `the kernel's arguments have a control character, or more than ${MOST_ARGS} bytes`)
  if (ignition) fatal("config/ignition", "this adapter has no fw_cfg")
  if (resources.memory % MiB || resources.memory < 8 * MiB)
    fatal("/resources/memory", `${resources.memory} bytes are no multiple of 1 MiB from 8 MiB on`)
  if (accelerator !== undefined && !ACCELERATORS.includes(accelerator)) fatal("/accelerator", "it emulates")
  if (busesOf(plan) > MOST_BUSES) fatal("/disks", `microvm has ${MOST_BUSES} places for disks and devices`)
  if (generationId !== undefined)
    found.push({ pointer: "generationId", severity: "degraded", reason: "microvm has no generation ID" })
  for (const [index, { type, required, mmioAddr }] of devices.entries()) {
    const severity = required ? "fatal" : "degraded"
    if (type !== "rng")
      found.push({ pointer: `/devices/${index}/type`, severity, reason: `microvm has no ${type}` })
    else if (mmioAddr !== undefined)
      found.push({
        pointer: `/devices/${index}/mmio_addr`,
        severity: "degraded",
        reason: "QEMU chooses the address",
      })
  }
  return found
}
