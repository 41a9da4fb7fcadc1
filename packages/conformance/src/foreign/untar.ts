const BLOCK = 512
const FILE = "0"

/** An entry of an archive, as it is read. */
export interface ReadEntry {
  readonly name: string
  /** A digit of ustar: `0` a file, `2` a symbolic link, `3` a device, `5` a folder. */
  readonly type: string
  readonly mode: number
  /** UID and GID, with a colon between. */
  readonly owner: string
  readonly mtime: number
  readonly link: string
  readonly content: Buffer
}

/** The entries of an archive, with the names and links that pax says. */
export function entriesOf(archive: Buffer): readonly ReadEntry[] {
  const found: ReadEntry[] = []
  let pax: Readonly<Record<string, string>> = {}
  for (let at = 0; at + BLOCK <= archive.length; ) {
    const block = archive.subarray(at, at + BLOCK)
    if (block.every((byte) => byte === 0)) break
    const text = (from: number, length: number) =>
      block.toString("utf8", from, from + length).replace(/\0.*$/s, "")
    const octal = (from: number, length: number) => Number.parseInt(text(from, length).trim() || "0", 8)
    const size = octal(124, 12)
    const content = archive.subarray(at + BLOCK, at + BLOCK + size)
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK
    const type = text(156, 1) || FILE
    if (type === "x") {
      pax = Object.fromEntries(
        [...content.toString().matchAll(/\d+ ([^=]+)=(.*)\n/g)].map(([, key, value]) => [key, value]),
      )
      continue
    }
    const prefix = text(345, 155)
    found.push({
      name: pax.path ?? (prefix ? `${prefix}/${text(0, 100)}` : text(0, 100)),
      type,
      mode: octal(100, 8),
      owner: `${octal(108, 8)}:${octal(116, 8)}`,
      mtime: Math.floor(Number(pax.mtime ?? octal(136, 12))),
      link: pax.linkpath ?? text(157, 100),
      content,
    })
    pax = {}
  }
  return found
}

/** The files alone, in their order. */
export function filesOf(archive: Buffer): readonly ReadEntry[] {
  return entriesOf(archive).filter(({ type }) => type === FILE)
}
