/** Parts of a UUID that memory has in the other order of bytes. */
const TURNED = [
  [0, 4],
  [4, 6],
  [6, 8],
] as const

/** A UUID as ACPI has it: the first three numbers are little-endian. */
export function inMemory(uuid: string): Buffer {
  return turned(Buffer.from(uuid.replaceAll("-", ""), "hex"))
}

/** The UUID of 16 bytes that ACPI has. */
export function uuidIn(bytes: Uint8Array): string {
  return turned(Buffer.from(bytes))
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")
}

function turned(bytes: Buffer): Buffer {
  for (const [from, to] of TURNED) bytes.subarray(from, to).reverse()
  return bytes
}
