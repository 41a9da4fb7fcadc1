import { isObject } from "../../objects.ts"
import { excerpt, type Fault } from "../faults.ts"

type Document = "manifest" | "pack-source"
type Report = (pointer: string, requirement: string, message: string) => void

/** What JSON Schema cannot say about devices and disks, of a value that may be of any shape. */
export function memberFaults(document: Document, value: unknown): Fault[] {
  const code = document === "manifest" ? "OVM_MANIFEST_INVALID" : "OVM_SOURCE_INVALID"
  const faults: Fault[] = []
  const report: Report = (pointer, requirement, message) =>
    faults.push({ document, pointer, requirement, code, message })
  for (const [index, device] of list(value, "devices").entries())
    checkSize(member(device, "size"), `/devices/${index}/size`, report)
  checkNames(list(value, "devices"), { at: "/devices", noun: "device", requirement: "OVMS-MAN-053" }, report)
  checkArch(value, report)
  const disks = list(value, "disks")
  checkNames(disks, { at: "/disks", noun: "disk", requirement: "OVMS-MAN-122" }, report)
  for (const [index, disk] of disks.entries())
    if (member(disk, "readOnly") === true && member(disk, "size") !== undefined)
      report(`/disks/${index}/readOnly`, "OVMS-MAN-126", "nobody could write to a disk that is empty")
  return faults
}

const ARCH_WORDS: Readonly<Record<string, string>> = { amd64: "x86_64", arm64: "aarch64" }

/** OVMS-IDX-001: of two words that are right by themselves. */
function checkArch(value: unknown, report: Report): void {
  const arch = member(member(member(value, "metadata"), "platform"), "arch")
  const word = ARCH_WORDS[String(member(value, "architecture") ?? "amd64")]
  if (word === undefined || arch === word || !Object.values(ARCH_WORDS).includes(String(arch))) return
  report("/metadata/platform/arch", "OVMS-IDX-001", `arch of this architecture is ${word}, not ${arch}`)
}

/** OVMS-MAN-054. */
function checkSize(size: unknown, pointer: string, report: Report): void {
  if (typeof size !== "number" || !Number.isInteger(size) || size < 4096) return
  if (!Number.isInteger(Math.log2(size)))
    report(pointer, "OVMS-MAN-054", `size must be a power of two, not ${size}`)
}

function checkNames(
  members: readonly unknown[],
  { at, noun, requirement }: { readonly at: string; readonly noun: string; readonly requirement: string },
  report: Report,
): void {
  const names = new Set<unknown>()
  for (const [index, one] of members.entries()) {
    const name = member(one, "name")
    if (typeof name === "string" && names.has(name))
      report(`${at}/${index}/name`, requirement, `another ${noun} has the name ${excerpt(name)}`)
    names.add(name)
  }
}

function list(value: unknown, name: string): readonly unknown[] {
  const found = member(value, name)
  return Array.isArray(found) ? found : []
}

function member(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}
