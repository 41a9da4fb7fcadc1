import { checkKernel } from "../../kernel.ts"
import type { LaunchPlan, Unsupported } from "../plan.ts"
import { boardOf } from "./board.ts"
import { findFirmware, sizeOfFlash, wantedFirmware } from "./firmware.ts"

/** What keeps the machine of `plan` from booting by UEFI, if it is to. Throws as checkKernel does. */
export async function checkFirmware(plan: LaunchPlan): Promise<readonly Unsupported[]> {
  const { uefi, kernel, initrd } = plan
  if (!uefi) return []
  const format = kernel && (await checkKernel(kernel.path, { uefi: true }))
  return [
    // Only Linux's own boot protocol has a place for one there.
    ...(format === "EFI for amd64" && initrd
      ? [fatal("/initrd", "QEMU hands an initrd to Linux alone, and its kernel is another EFI program")]
      : []),
    ...(format === "elf"
      ? [
          fatal(
            "/metadata/platform/uefi",
            "UEFI firmware starts EFI programs, such as a bzImage of Linux, and its kernel is an ELF file",
          ),
        ]
      : []),
    // QEMU's firmware starts an unsigned kernel all the same, as one without an EFI program in it.
    ...(uefi.secureBoot && kernel
      ? [fatal("/kernel", "Secure Boot is of what a disk has: QEMU hands a kernel over unverified")]
      : []),
    ...missing(plan),
  ]
}

function* missing(plan: LaunchPlan): Iterable<Unsupported> {
  const wanted = wantedFirmware(plan)
  if (findFirmware(wanted)) return
  const { variables, secureBoot, ...others } = wanted
  const other = findFirmware({ ...others, ...(secureBoot && { secureBoot }) })
  if (other && variables !== undefined)
    yield fatal(
      "/firmware/variables",
      `its variables are of firmware that keeps ${variables} bytes of them, and this host's keeps ${sizeOfFlash(other.template)}`,
    )
  else if (secureBoot && findFirmware(others))
    yield fatal(
      "/metadata/platform/secureBoot",
      "this host has UEFI firmware for QEMU, and none of it has Secure Boot",
    )
  else
    yield fatal(
      "/metadata/platform/uefi",
      `this host has no UEFI firmware for QEMU (Debian: apt-get install ${boardOf(plan).firmware})`,
    )
}

function fatal(pointer: string, reason: string): Unsupported {
  return { pointer, severity: "fatal", reason }
}
