/** One block of a PEM file (RFC 7468), written anew without what programs leave around it. */
export interface PemBlock {
  readonly label: string
  /** Base64. */
  readonly body: string
  /** True for one that is encrypted in the older way, by headers within it (RFC 1421). */
  readonly encrypted: boolean
  /** The block alone. */
  readonly text: string
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g

/**
 * All blocks of a text, in order. Text before, between and after them is passed over, and so are a byte order mark,
 * carriage returns and blanks at the ends of lines (OVMS-SIG-060).
 */
export function pemBlocks(pem: string): PemBlock[] {
  return [...pem.matchAll(BLOCK)].map(([, label = "", inside = ""]) => {
    const lines = inside.split(/\r\n|\r|\n/).map((line) => line.trim())
    const headers = lines.filter((line) => line.includes(":"))
    const data = lines.filter((line) => line !== "" && !line.includes(":"))
    const head = headers.length > 0 ? [...headers, ""] : []
    return {
      label,
      body: data.join(""),
      encrypted: headers.some((line) => /^Proc-Type:.*\bENCRYPTED$/.test(line)),
      text: `${[`-----BEGIN ${label}-----`, ...head, ...data, `-----END ${label}-----`].join("\n")}\n`,
    }
  })
}

/** What blocks there are, for a message. */
export function labelsOf(blocks: readonly PemBlock[]): string {
  if (blocks.length === 0) return "it has no PEM block"
  return `it has ${blocks
    .map(({ label }) => label.slice(0, 40))
    .slice(0, 4)
    .join(", ")}`
}
