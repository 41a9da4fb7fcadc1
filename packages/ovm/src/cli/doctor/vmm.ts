import { existsSync, readFileSync, statSync } from "node:fs"
import { toOvmError } from "../../errors.ts"
import type { Paths } from "../../host/paths.ts"
import { readDaemonSettings } from "../../runtime/settings.ts"
import { availableVmms, spokenOf } from "../../vmm/available.ts"
import { canOpenKvm, KVM } from "../../vmm/qemu/accelerator.ts"
import type { Capabilities, Vmm } from "../../vmm/vmm.ts"
import { ownCache } from "../own-cache.ts"
import type { Finding } from "./finding.ts"

/** Whether there is a VMM, and one that is fast: of those that the operator names, if that is so. */
export async function checkVmms({ cache, settings }: Pick<Paths, "cache" | "settings">): Promise<Finding[]> {
  const all = await Promise.all(
    (await vmmsOf(ownCache({ cache }), settings)).map(async (vmm) => {
      try {
        const found = await vmm.capabilities()
        return isAlways(found) ? [working(found, found.acceleratorReason)] : [working(found), speed(found)]
      } catch (thrown) {
        const { message, hint } = toOvmError(thrown)
        return [{ check: vmm.name, state: "failure" as const, message, ...(hint && { fix: hint }) }]
      }
    }),
  )
  return all.flat()
}

/** What is wrong with the settings themselves is said elsewhere (checkSettings). */
async function vmmsOf(cache: string, settings: string): Promise<readonly Vmm[]> {
  try {
    const { vmms, jail } = await readDaemonSettings(settings)
    const all = availableVmms(cache, vmms, jail)
    return vmms ? all : spokenOf(all)
  } catch {}
  return spokenOf(availableVmms(cache))
}

/** It has nothing to fall back to, so that it works at all is what there is to say of its speed. */
function isAlways({ accelerator, accelerators }: Capabilities): boolean {
  return accelerator !== "tcg" && accelerators.length === 1
}

function working({ name, version, binary }: Capabilities, reason?: string): Finding {
  const message = `${version} (${binary})${reason === undefined ? "" : `: ${reason}`}`
  return { check: name, state: "ok", message }
}

function speed({ accelerator, acceleratorReason }: Capabilities): Finding {
  if (accelerator !== "tcg") return { check: accelerator, state: "ok", message: acceleratorReason }
  const fix = remedy()
  const message = `machines are emulated, which is slow: ${acceleratorReason}`
  return { check: "kvm", state: "warning", message, ...(fix !== undefined && { fix }) }
}

/** What there is to be done about KVM; nothing where it is there and no faster than emulation. */
function remedy(): string | undefined {
  if (!existsSync(KVM)) {
    const flags = readFileSync("/proc/cpuinfo", "utf8")
    if (/^flags\s*:.*\bvmx\b/m.test(flags)) return "modprobe kvm_intel"
    if (/^flags\s*:.*\bsvm\b/m.test(flags)) return "modprobe kvm_amd"
    return "turn virtualization on in the firmware's settings or, in a virtual machine, nested virtualization on its host"
  }
  if (canOpenKvm()) return undefined
  const group = groupOf(KVM)
  return group === "root"
    ? `chgrp kvm ${KVM} && chmod 660 ${KVM}, as root`
    : `usermod --append --groups ${group} $USER, log in again, and ovm daemon --stop`
}

function groupOf(path: string): string {
  const { gid } = statSync(path)
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((entry) => entry.split(":")[2] === `${gid}`)
  return line?.split(":")[0] ?? `${gid}`
}
