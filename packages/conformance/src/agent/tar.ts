/** One entry of a tar archive. */
export interface Entry {
  readonly name: string
  /** A digit of ustar: `0` a file, `2` a symbolic link, `3` a device, `5` a folder. */
  readonly type?: string
  readonly mode?: number
  readonly mtime?: number
  readonly link?: string
  readonly content?: Buffer
}

const BLOCK = 512
const FILE = "0"

function header({
  name,
  type = FILE,
  mode = 0o644,
  mtime = 1_000_000_000,
  link = "",
  content,
}: Entry): Buffer {
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1")
  block.write(name, 0)
  octal(mode, 100, 8)
  octal(process.getuid?.() ?? 0, 108, 8)
  octal(process.getgid?.() ?? 0, 116, 8)
  octal(content?.length ?? 0, 124, 12)
  octal(mtime, 136, 12)
  block.write("        ", 148)
  block.write(type, 156)
  block.write(link, 157)
  block.write("ustar\x0000", 257, "latin1")
  if (type === "3") octal(1, 329, 8)
  if (type === "3") octal(3, 337, 8)
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  return block
}

/** An archive of these, with its end. */
export function tarOf(...entries: readonly Entry[]): Buffer {
  const padded = (content: Buffer = Buffer.alloc(0)) =>
    Buffer.concat([content, Buffer.alloc(-content.length & (BLOCK - 1))])
  return Buffer.concat([
    ...entries.flatMap((entry) => [header(entry), padded(entry.content)]),
    Buffer.alloc(2 * BLOCK),
  ])
}

/** The entries of an archive, with the names and links that pax says. */
export function entriesOf(archive: Buffer): Required<Entry>[] {
  const found = []
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
    const name = pax.path ?? (prefix ? `${prefix}/${text(0, 100)}` : text(0, 100))
    const link = pax.linkpath ?? text(157, 100)
    found.push({
      name,
      type,
      mode: octal(100, 8),
      mtime: Math.floor(Number(pax.mtime ?? octal(136, 12))),
      link,
      content,
    })
    pax = {}
  }
  return found
}
