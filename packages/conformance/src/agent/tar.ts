import { archiveOf } from "../foreign/tar.ts"

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

/** An archive of these, all of this user, with its end. */
export function tarOf(...entries: readonly Entry[]): Buffer {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  return archiveOf(
    entries.map(({ type = FILE, mode = 0o644, mtime = 1_000_000_000, ...entry }) => ({
      ...entry,
      ...{ type, mode, time: mtime, uid, gid },
      ...(type === "3" && { device: [1, 3] as const }),
    })),
  )
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
