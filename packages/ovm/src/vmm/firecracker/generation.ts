import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs"
import { inMemory, uuidIn } from "../generation-id.ts"

// Firecracker gives each of its machines a VM generation ID, a new one where it goes on from a snapshot, and tells it
// to nobody but the guest, whose ACPI tables say where in memory it is.

/** Guest addresses: what ACPI's tables and the ID are in (src/vmm/src/arch/x86_64/layout.rs of its sources). */
const TABLES = 0x9fc00
const TABLES_END = 0x100000
const RSDP = 0xe0000
const RSDP_WORDS = "RSD PTR "
const LENGTH = 16

/** Somebody's memory, or a file of it. */
interface Memory {
  readonly fd: number
  /** Where in it the guest's begins. */
  readonly base: number
}

/** The generation ID in the file of a guest's RAM, as a UUID; undefined if none can be found. */
export function generationIn(ram: string): string | undefined {
  return withFile(ram, "r", (fd) => idIn({ fd, base: 0 }))
}

/** That of the guest of the VMM `pid`, with so many bytes of `memory`; undefined if it cannot be looked at. */
export function generationOf(pid: number, memory: number): string | undefined {
  return withFile(`/proc/${pid}/mem`, "r", (fd) => idIn(guestIn(pid, fd, memory)))
}

/**
 * Gives the guest, which has been loaded and has not gone on yet, the generation ID `id` in place of the new one that
 * it has. False if that cannot be.
 */
export function setGeneration(pid: number, memory: number, id: string): boolean {
  const set = (fd: number) => {
    const guest = guestIn(pid, fd, memory)
    const at = guest && placeIn(guest)
    return guest && at !== undefined && writeSync(fd, inMemory(id), 0, LENGTH, guest.base + at) === LENGTH
  }
  return withFile(`/proc/${pid}/mem`, "r+", set) ?? false
}

/** What is not there, or not allowed, is no answer. */
function withFile<T>(path: string, flags: string, use: (fd: number) => T | undefined): T | undefined {
  let fd: number | undefined
  try {
    fd = openSync(path, flags)
    return use(fd)
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** The guest's memory is told from others by what Firecracker puts into it. */
function guestIn(pid: number, fd: number, memory: number): Memory | undefined {
  const least = Math.min(memory, 2 ** 31)
  for (const [, from = "", to = ""] of readFileSync(`/proc/${pid}/maps`, "latin1").matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) rw/gm,
  )) {
    const [base, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)]
    if (end - base >= least && read(fd, base + RSDP, RSDP_WORDS.length).toString("latin1") === RSDP_WORDS)
      return { fd, base }
  }
  return undefined
}

function idIn(memory: Memory | undefined): string | undefined {
  const at = memory && placeIn(memory)
  return at === undefined ? undefined : uuidIn(read(memory?.fd ?? -1, (memory?.base ?? 0) + at, LENGTH))
}

/** The guest may have written there: whatever it says, it means a place in the same area. */
function placeIn({ fd, base }: Memory): number | undefined {
  const tables = read(fd, base + TABLES, TABLES_END - TABLES)
  const device = tables.indexOf("VM_Gen_Counter")
  const name = device < 0 ? -1 : tables.indexOf("ADDR", device)
  // A package of two numbers (ACPI, 20.2.5): its opcode, its length, how many, and each with what it is written in.
  const at = name < 0 ? undefined : numberAt(tables, name + "ADDR".length + 3)
  return at !== undefined && at >= TABLES && at + LENGTH <= TABLES_END ? at : undefined
}

/** AML's words and double words; no lower number is a place. */
function numberAt(bytes: Buffer, at: number): number | undefined {
  if (bytes[at] === 0x0b) return bytes.readUInt16LE(at + 1)
  return bytes[at] === 0x0c ? bytes.readUInt32LE(at + 1) : undefined
}

function read(fd: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(fd, bytes, 0, length, at))
}
