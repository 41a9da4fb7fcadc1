/** The longest that an adapter may write (OVMS-ADP-013), and that it has to take (OVMS-ADP-063), in bytes. */
export const MOST = 1 << 20

/** Puts what comes in pieces together to lines, each an object. Throws for what is none. */
export class Lines {
  #rest: Buffer[] = []
  #size = 0

  take(bytes: Uint8Array): readonly Readonly<Record<string, unknown>>[] {
    const objects: Readonly<Record<string, unknown>>[] = []
    let begin = 0
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, begin)) {
      this.#add(bytes.subarray(begin, end))
      begin = end + 1
      const line = Buffer.concat(this.#rest).toString("utf8")
      this.#rest = []
      this.#size = 0
      objects.push(objectOf(line))
    }
    this.#add(bytes.subarray(begin))
    return objects
  }

  #add(piece: Uint8Array): void {
    this.#size += piece.length
    if (this.#size > MOST) throw new Error(`it wrote a line of more than ${MOST} bytes`)
    this.#rest.push(Buffer.from(piece))
  }
}

function objectOf(line: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {}
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>
  throw new Error(`it wrote what is no JSON object: ${JSON.stringify(line.slice(0, 80))}`)
}
