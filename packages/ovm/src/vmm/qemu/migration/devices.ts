import { isObject } from "../../../objects.ts"
import { MAX_STATE, malformed, PAGE, Section } from "./format.ts"

/** One device's section. */
export interface DeviceSection {
  readonly name: string
  readonly instance: number
  readonly version: number
  /** Where its state begins, in bytes from the start of the whole. */
  readonly at: number
  /** Bytes of its state. */
  readonly size: number
}

/** Deeper than any device's state (a PCI device has 6). */
const MAX_DEPTH = 32

/**
 * Reads the devices' sections of a state from `start` on. Their content can only be measured with the description that
 * QEMU puts at the end (migration/savevm.c, qemu_savevm_state_complete_precopy_non_iterable;
 * scripts/analyze-migration.py reads it too): so every section's header, size and footer is checked, and that nothing
 * is missing or left over. Throws OVM_VMM_FAILED.
 */
export function readDevices(bytes: Buffer, start: number): DeviceSection[] {
  const end = findDescription(bytes, start)
  const devices = parse(bytes, end)
  let at = start
  const sections: DeviceSection[] = []
  for (const device of devices) {
    const name = text(device, "name", at)
    const section = {
      name,
      instance: count(device, "instance_id", at),
      version: "version" in device ? count(device, "version", at) : undefined,
      size: "fields" in device ? sizeOf(device, at, 0) : count(device, "size", at),
    }
    const length = 1 + 4 + 1 + name.length + 8
    if (at + length + section.size + 5 > end) throw malformed(at, `${name} is cut off`)
    const id = bytes.readUInt32BE(at + 1)
    const version = bytes.readUInt32BE(at + length - 4)
    if (
      bytes[at] !== Section.FULL ||
      bytes[at + 5] !== name.length ||
      bytes.toString("latin1", at + 6, at + 6 + name.length) !== name ||
      bytes.readUInt32BE(at + length - 8) !== section.instance ||
      (section.version !== undefined && version !== section.version)
    )
      throw malformed(at, `this is not the section of ${name}`)
    const state = at + length
    at = state + section.size
    if (bytes[at] !== Section.FOOTER || bytes.readUInt32BE(at + 1) !== id)
      throw malformed(at, `${name} has no proper footer`)
    at += 5
    sections.push({ ...section, version, at: state })
  }
  if (at !== end) throw malformed(at, `${end - at} bytes follow the last device`)
  return sections
}

/** Where the end mark is: the description behind it reaches to the end exactly. */
function findDescription(bytes: Buffer, start: number): number {
  const mark = Buffer.of(Section.EOF, Section.DESCRIPTION)
  for (let at = bytes.indexOf(mark, start); at >= 0; at = bytes.indexOf(mark, at + 1))
    if (at + 6 <= bytes.length && bytes.readUInt32BE(at + 2) === bytes.length - at - 6) return at
  throw malformed(bytes.length, "it does not end with a description of the devices")
}

type Described = Readonly<Record<string, unknown>>

function parse(bytes: Buffer, end: number): readonly Described[] {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString("latin1", end + 6))
  } catch {
    throw malformed(end, "the description of the devices is no JSON")
  }
  if (!isObject(value) || value.page_size !== PAGE)
    throw malformed(end, `the description says no page size of ${PAGE}`)
  return list(value, "devices", end)
}

/**
 * Bytes of a vmstate: its fields, an array's times its length, then its subsections with their headers
 * (migration/vmstate.c).
 */
function sizeOf(described: Described, at: number, depth: number): number {
  if (depth > MAX_DEPTH) throw malformed(at, "the description of the devices is too deep")
  let size = 0
  for (const field of list(described, "fields", at))
    size += count(field, "size", at) * ("array_len" in field ? count(field, "array_len", at) : 1)
  if ("subsections" in described)
    for (const subsection of list(described, "subsections", at))
      size += 2 + text(subsection, "vmsd_name", at).length + 4 + sizeOf(subsection, at, depth + 1)
  if (size > MAX_STATE) throw malformed(at, "the description of the devices is too large")
  return size
}

function list(from: Described, key: string, at: number): readonly Described[] {
  const value = from[key]
  if (!Array.isArray(value) || !value.every(isObject))
    throw malformed(at, `the description of the devices has no ${key}`)
  return value
}

function text(from: Described, key: string, at: number): string {
  const value = from[key]
  if (typeof value !== "string" || value === "" || value.length > 255)
    throw malformed(at, `the description of the devices has no ${key}`)
  return value
}

function count(from: Described, key: string, at: number): number {
  const value = from[key]
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= 2 ** 32)
    throw malformed(at, `the description of the devices has no ${key}`)
  return value
}
