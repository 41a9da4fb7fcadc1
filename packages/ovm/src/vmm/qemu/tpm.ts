import type { LaunchPlan, Unsupported } from "../plan.ts"
import { INHERITED_TPM } from "../process/keeper.ts"
import { findSwtpm } from "../tpm/swtpm.ts"

/** The interface of TCG's PC Client specification, at 0xFED40000. */
const TPM_DEVICE = "tpm-tis,version=2.0"

/** Id of QEMU's connection, and of its backend. */
const TPM = "tpm"

export function tpmDevices({ tpm }: LaunchPlan): readonly string[] {
  return tpm ? [TPM_DEVICE] : []
}

/** The part of the command line; QEMU inherits the connection. */
export function tpmArguments(devices: readonly string[]): string[] {
  if (!devices.includes(TPM_DEVICE)) return []
  return [
    ...["-chardev", `socket,id=${TPM},fd=${INHERITED_TPM}`],
    ...["-tpmdev", `emulator,id=${TPM},chardev=${TPM}`],
    ...["-device", `tpm-tis,tpmdev=${TPM}`],
  ]
}

export function* checkTpm({ tpm, architecture }: LaunchPlan): Iterable<Unsupported> {
  if (!tpm) return
  const [pointer, severity] = ["/metadata/platform/tpm", "fatal" as const]
  if (architecture === "arm64") yield { pointer, severity, reason: "machines for arm64 have no TPM" }
  else if (findSwtpm() === undefined)
    yield { pointer, severity, reason: "there is no swtpm on this host (Debian: apt-get install swtpm)" }
}
