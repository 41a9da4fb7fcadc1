/**
 * A UUID (RFC 9562, version 8) out of what a document says, so that the same has the same, and what differs has
 * another.
 */
export function uuidOf(value: unknown): string {
  const hex = new Bun.CryptoHasher("sha256").update(JSON.stringify(value)).digest("hex")
  const variant = (Number.parseInt(hex[16] ?? "0", 16) & 3) | 8
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`]
  return [...groups, `${variant.toString(16)}${hex.slice(17, 20)}`, hex.slice(20, 32)].join("-")
}
