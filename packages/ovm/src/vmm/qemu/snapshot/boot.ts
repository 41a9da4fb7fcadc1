import { checkKernel } from "../../../kernel.ts"
import type { DeviceState } from "../migration/splitter.ts"
import type { Qmp } from "../qmp.ts"

/** What QEMU was started with, for the firmware to read. */
export interface Boot {
  readonly args: string
  /** What is read last, and how far; undefined where that cannot be told. */
  readonly last?: { readonly item: number; readonly offset: number }
}

/**
 * Items of QEMU's configuration device, fw_cfg (linux/qemu_fw_cfg.h). SeaBIOS reads a kernel by one of QEMU's option
 * ROMs: initrd, kernel and arguments of a bzImage in this order (pc-bios/optionrom/linuxboot_dma.c); arguments and
 * entry point of an ELF file, which QEMU puts into RAM itself (pvh_main.c).
 */
const ARGUMENTS = 0x15
const ENTRY_POINT = 0x10

/**
 * Undefined for a machine without a kernel. QEMU is asked, so that the answer holds for whoever started it, and
 * however.
 */
export async function bootOf(qmp: Qmp): Promise<Boot | undefined> {
  const [kernel, args] = await Promise.all(
    ["kernel", "append"].map((property) => qmp.execute("qom-get", { path: "/machine", property })),
  )
  if (typeof kernel !== "string" || typeof args !== "string" || kernel === "") return undefined
  const format = await checkKernel(kernel).catch(() => undefined)
  if (format === "bzImage") return { args, last: { item: ARGUMENTS, offset: Buffer.byteLength(args) + 1 } }
  if (format === "elf") return { args, last: { item: ENTRY_POINT, offset: 4 } }
  return { args }
}

/**
 * True if the guest has read what it was started with, and nothing of the device since: it may know by now what else is
 * there, and where.
 */
export function wasRead({ last }: Boot, { bytes, devices }: DeviceState): boolean {
  const device = devices.find(({ name }) => name === "fw_cfg")
  if (!last || device?.version !== 2) return false
  return bytes.readUInt16BE(device.at) === last.item && bytes.readUInt32BE(device.at + 2) === last.offset
}
