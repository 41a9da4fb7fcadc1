import { isObject } from "../../objects.ts"
import { excerpt, type Fault } from "../faults.ts"

type Document = "manifest" | "pack-source"
type Report = (pointer: string, requirement: string, message: string) => void

/** What JSON Schema cannot say about devices, disks and shares, of a value that may be of any shape. */
export function memberFaults(document: Document, value: unknown): Fault[] {
  const code = document === "manifest" ? "OVM_MANIFEST_INVALID" : "OVM_SOURCE_INVALID"
  const faults: Fault[] = []
  const report: Report = (pointer, requirement, message) =>
    faults.push({ document, pointer, requirement, code, message })
  for (const [index, device] of list(value, "devices").entries())
    checkSize(member(device, "size"), `/devices/${index}/size`, report)
  checkArch(value, report)
  checkUefi(value, report)
  const distinct = (members: string, key: string, noun: string, requirement: string) =>
    checkDistinct(list(value, members), { at: `/${members}`, key, noun, requirement }, report)
  distinct("devices", "name", "device", "OVMS-MAN-053")
  distinct("disks", "name", "disk", "OVMS-MAN-122")
  distinct("shares", "name", "share", "OVMS-MAN-142")
  distinct("shares", "target", "share", "OVMS-MAN-144")
  const disks = list(value, "disks")
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

/** OVMS-MAN-157, OVMS-MAN-159. */
function checkUefi(value: unknown, report: Report): void {
  const platform = member(member(value, "metadata"), "platform")
  if (member(platform, "uefi") === true) return
  const none = "is of a machine that boots by UEFI, which this one does not"
  if (member(value, "firmware") !== undefined) report("/firmware", "OVMS-MAN-157", `firmware ${none}`)
  if (member(platform, "secureBoot") === true)
    report("/metadata/platform/secureBoot", "OVMS-MAN-159", `Secure Boot ${none}`)
}

/** OVMS-MAN-054. */
function checkSize(size: unknown, pointer: string, report: Report): void {
  if (typeof size !== "number" || !Number.isInteger(size) || size < 4096) return
  if (!Number.isInteger(Math.log2(size)))
    report(pointer, "OVMS-MAN-054", `size must be a power of two, not ${size}`)
}

interface Distinct {
  readonly at: string
  readonly key: string
  readonly noun: string
  readonly requirement: string
}

function checkDistinct(
  members: readonly unknown[],
  { at, key, noun, requirement }: Distinct,
  report: Report,
): void {
  const seen = new Set<unknown>()
  for (const [index, one] of members.entries()) {
    const text = member(one, key)
    if (typeof text === "string" && seen.has(text))
      report(`${at}/${index}/${key}`, requirement, `another ${noun} has the ${key} ${excerpt(text)}`)
    seen.add(text)
  }
}

function list(value: unknown, name: string): readonly unknown[] {
  const found = member(value, name)
  return Array.isArray(found) ? found : []
}

function member(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}
