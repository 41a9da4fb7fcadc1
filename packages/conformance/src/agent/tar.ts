import { archiveOf } from "../foreign/tar.ts"

/** One entry of a tar archive. */
export interface Entry {
  readonly name: string
  /** A digit of ustar: `0` a file, `1` another name of one, `2` a symbolic link, `3` a device, `5` a folder. */
  readonly type?: string
  readonly mode?: number
  readonly mtime?: number
  readonly link?: string
  readonly content?: Buffer
  /** UID and GID; this user's unless given. */
  readonly owner?: readonly [uid: number, gid: number]
}

const FILE = "0"

/** An archive of these, with its end. */
export function tarOf(...entries: readonly Entry[]): Buffer {
  const own = [process.getuid?.() ?? 0, process.getgid?.() ?? 0] as const
  return archiveOf(
    entries.map(({ type = FILE, mode = 0o644, mtime = 1_000_000_000, owner = own, ...entry }) => ({
      ...entry,
      ...{ type, mode, time: mtime, uid: owner[0], gid: owner[1] },
      ...(type === "3" && { device: [1, 3] as const }),
    })),
  )
}
