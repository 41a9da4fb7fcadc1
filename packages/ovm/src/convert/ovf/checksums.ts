/** Of a file of an OVF package. */
export interface Checksum {
  readonly algorithm: "sha1" | "sha256" | "sha512"
  readonly hex: string
}

const LINE = /^(SHA1|SHA256|SHA512)\s*\(([^)]+)\)\s*=\s*([0-9a-f]+)$/i
const DIGITS = { sha1: 40, sha256: 64, sha512: 128 } as const

/** The checksums of a package's manifest (DSP0243, "Package"), by file. Throws an Error that names the line. */
export function readChecksums(text: string): ReadonlyMap<string, Checksum> {
  const found = new Map<string, Checksum>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue
    const [, name = "", file = "", digits = ""] = LINE.exec(line.trim()) ?? []
    const algorithm = name.toLowerCase() as Checksum["algorithm"]
    const hex = digits.toLowerCase()
    if (hex.length !== DIGITS[algorithm] || found.has(file))
      throw new Error(`line ${index + 1} is no checksum of a file`)
    found.set(file, { algorithm, hex })
  }
  return found
}
