// What firmware starts as a program (PE/COFF; UEFI 2.10, 2.1.1), such as a unified kernel image.
const OFFSET_AT = 0x3c
/** The signature, the COFF header and, of the optional header, as far as the subsystem. */
const [MACHINE_AT, OPTIONAL_AT, SUBSYSTEM_AT, LENGTH] = [4, 24, 92, 94]
const PE32_PLUS = 0x20b
const APPLICATION = 10
const MACHINES: Readonly<Record<number, "amd64" | "arm64">> = { 34404: "amd64", 43620: "arm64" }

/** Of an EFI program whose file begins with `head`, what it runs on; undefined for what is none. */
export function efiArchitecture(head: Buffer): "amd64" | "arm64" | undefined {
  if (head.length < OFFSET_AT + 4 || head.toString("latin1", 0, 2) !== "MZ") return undefined
  const at = head.readUInt32LE(OFFSET_AT)
  if (at + LENGTH > head.length || head.toString("latin1", at, at + 4) !== "PE\0\0") return undefined
  const fits =
    head.readUInt16LE(at + OPTIONAL_AT) === PE32_PLUS && head.readUInt16LE(at + SUBSYSTEM_AT) === APPLICATION
  return fits ? MACHINES[head.readUInt16LE(at + MACHINE_AT)] : undefined
}
