import type { LaunchPlan } from "../plan.ts"

/** What QEMU's machines of an architecture are made of, beside what is the same for all. */
export interface Board {
  readonly program: string
  /** The Debian package that brings it. */
  readonly debian: string
  /** The one that brings UEFI firmware. */
  readonly firmware: string
  /** Of `-machine help`: what its versioned types begin with, and what stands for the newest one. */
  readonly types: string
  readonly newest: string
  /** Properties of the machine. */
  readonly properties: string
  /** Of the processor, where it is emulated. */
  readonly emulated: string
  /** What that was in earlier versions, as their snapshots have it: machines go on from those with it. */
  readonly emulatedBefore: readonly string[]
  /** The console's device; undefined where the machine itself has it, as its first serial port. */
  readonly serial?: string
  /** What a guest finds in any case, in the words of a model. */
  readonly devices: readonly string[]
}

const PC: Board = {
  program: "qemu-system-x86_64",
  debian: "qemu-system-x86",
  firmware: "ovmf",
  types: "pc-q35-",
  newest: "q35",
  properties: "vmport=off,usb=off,sata=off,smbus=off,dump-guest-core=off",
  // Every feature that it has, so that userlands built for x86-64-v3 run; five-level page tables would only make each
  // page walk longer. Of a processor that says that its string instructions are fast, kernels use those to copy and to
  // clear, and they are emulated byte by byte; else they take eight bytes at a time.
  emulated: "max,la57=off,erms=off,fsrm=off",
  emulatedBefore: ["max,la57=off"],
  serial: "isa-serial",
  devices: ["isa-serial", "vmgenid"],
}

/** A machine without a BIOS, ACPI or an I/O port: what there is, a device tree says. */
const VIRT: Board = {
  program: "qemu-system-aarch64",
  debian: "qemu-system-arm",
  firmware: "qemu-efi-aarch64",
  types: "virt-",
  newest: "virt",
  properties: "gic-version=3,usb=off,dump-guest-core=off",
  // The architecture's own algorithm of pointer authentication is several times slower to emulate.
  emulated: "max,pauth-impdef=on",
  emulatedBefore: [],
  devices: ["pl011"],
}

export function boardOf({ architecture }: Pick<LaunchPlan, "architecture">): Board {
  return architecture === "arm64" ? VIRT : PC
}
