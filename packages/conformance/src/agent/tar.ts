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
