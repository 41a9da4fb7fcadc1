/** Where something of the program is: its address, in four bytes, or how far it is from there, in one or four. */
interface Place {
  readonly name: string
  readonly as: "address" | "near" | "far"
}

/** Bytes of a program, places in it, and names for what follows. */
export type CodePart = number | Place | string

export const address = (name: string): Place => ({ name, as: "address" })
export const near = (name: string): Place => ({ name, as: "near" })
export const far = (name: string): Place => ({ name, as: "far" })

/** A program of `parts` that is loaded at `base`; a text among them names the place where it stands. */
export function machineCode(parts: readonly CodePart[], base: number): Uint8Array {
  const places = new Map<string, number>()
  let length = 0
  for (const part of parts) {
    if (typeof part === "string") places.set(part, length)
    else length += sizeOf(part)
  }
  const code = Buffer.alloc(length)
  let at = 0
  for (const part of parts) {
    if (typeof part === "string") continue
    if (typeof part === "number") code.writeUInt8(part, at)
    else write(part, places.get(part.name), { code, at, base })
    at += sizeOf(part)
  }
  return code
}

function sizeOf(part: number | Place): number {
  return typeof part === "number" || part.as === "near" ? 1 : 4
}

interface Where {
  readonly code: Buffer
  readonly at: number
  readonly base: number
}

function write({ name, as }: Place, found: number | undefined, { code, at, base }: Where): void {
  if (found === undefined) throw new Error(`the program has no place ${name}`)
  if (as === "address") code.writeUInt32LE(base + found, at)
  else if (as === "near") code.writeInt8(found - at - 1, at)
  else code.writeInt32LE(found - at - 4, at)
}
