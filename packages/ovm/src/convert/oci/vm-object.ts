import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import type { SaidOfMachine } from "../taken.ts"
import { bytesOfQuantity } from "./quantity.ts"

/** What of a VirtualMachine of KubeVirt's has a place in ours. */
export interface VmObject {
  readonly said: SaidOfMachine
  /** Names of its disks, the one that boots first. */
  readonly disks: readonly string[]
  readonly readOnly: ReadonlySet<string>
  /** Names of all that it is given, disks or not. */
  readonly volumes: readonly string[]
}

type Members = Readonly<Record<string, unknown>>

/** Reads `spec.template.spec`. Throws OVM_UNSUPPORTED for a kernel beside its disks, and another architecture. */
export function vmOf(vm: Members, named: string): VmObject {
  const unsupported = (what: string) => new OvmError("OVM_UNSUPPORTED", `${named}: ${what}`)
  const spec = at(vm, "spec", "template", "spec")
  const domain = at(spec, "domain")
  const architecture = spec.architecture ?? "amd64"
  if (architecture !== "amd64") throw unsupported(`it is for ${JSON.stringify(architecture)}, not for amd64`)
  if (isObject(at(domain, "firmware").kernelBoot))
    throw unsupported("it boots a kernel out of a container image")
  const devices = at(domain, "devices")
  const { cores = 1, sockets = 1, threads = 1 } = at(domain, "cpu")
  const counts = [cores, sockets, threads].map(Number)
  const memory = bytesOfQuantity(at(domain, "memory").guest ?? at(domain, "resources", "requests").memory)
  const loader = at(domain, "firmware", "bootloader")
  const interfaces = devices.interfaces
  const alone =
    devices.autoattachPodInterface === false || (Array.isArray(interfaces) && interfaces.length === 0)
  const disks = objects(devices.disks).toSorted((one, other) => order(one) - order(other))
  return {
    said: {
      ...(isObject(domain.cpu) && { vcpus: counts.reduce((all, count) => all * count, 1) }),
      ...(memory !== undefined && { memory }),
      ...(isObject(loader.efi) && { firmware: "uefi" as const }),
      ...(isObject(loader.efi) && loader.efi.secureBoot === true && { secureBoot: true }),
      ...(isObject(devices.tpm) && { tpm: true }),
      ...(isObject(loader.bios) && { firmware: "bios" as const }),
      network: alone ? "none" : "user",
    },
    disks: disks.map(({ name }) => String(name)),
    readOnly: new Set(disks.filter(isReadOnly).map(({ name }) => String(name))),
    volumes: objects(spec.volumes).map(({ name }) => String(name)),
  }
}

function isReadOnly(disk: Members): boolean {
  return isObject(disk.cdrom) || (isObject(disk.disk) && disk.disk.readonly === true)
}

function order({ bootOrder }: Members): number {
  return typeof bootOrder === "number" ? bootOrder : Number.MAX_SAFE_INTEGER
}

/** The object at the end of `path`; an empty one where there is none. */
export function at(value: Members, ...path: readonly string[]): Members {
  let found: Members = value
  for (const name of path) {
    const next = found[name]
    found = isObject(next) ? next : {}
  }
  return found
}

function objects(value: unknown): Members[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
