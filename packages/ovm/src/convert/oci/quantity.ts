/** Of Kubernetes' quantities ("Resource Management: Quantity"), those of bytes. */
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

/** Bytes, to whole ones; undefined for what is none. */
export function bytesOfQuantity(quantity: unknown): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,12}(?:\.\d{1,9})?)([a-zA-Z]{0,2})$/.exec(String(quantity)) ?? []
  const factor = UNITS[unit]
  const bytes = digits === undefined || factor === undefined ? Number.NaN : Math.ceil(Number(digits) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest of the same bytes. */
export function quantityOf(bytes: number): string {
  for (const unit of ["Gi", "Mi", "Ki"] as const) {
    const size = UNITS[unit] as number
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return `${bytes}`
}
