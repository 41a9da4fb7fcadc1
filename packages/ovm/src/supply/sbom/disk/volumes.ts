import type { Call } from "../../../content/interfaces.ts"
import { runTool, unreadableDisk } from "../../../disk/tool.ts"
import type { RawDisk } from "./flatten.ts"

/** A part of a disk that may hold a file system. Bytes. */
export interface Volume {
  /** In words: "the whole disk" or "partition 2". */
  readonly name: string
  readonly offset: number
  readonly size: number
  /** What blkid calls it (`ext4`, `xfs`, `crypto_LUKS`); undefined if it knows nothing like it. */
  readonly type?: string
}

export interface Volumes {
  readonly volumes: readonly Volume[]
  /** Partitions that are not where a partition can be: sentences. */
  readonly gaps: readonly string[]
}

/** More than any machine has; a table may claim any number. */
export const PARTITION_LIMIT = 32
const SECTOR = 512
const LIMITS = { ms: 20_000, output: 256 * 1024 }

/**
 * The whole disk where it is one file system, else the partitions of its table (MBR or GPT), by util-linux's blkid and
 * partx.
 */
export async function volumesOf({ path, size }: RawDisk, call: Call = {}): Promise<Volumes> {
  const whole = await probe(path, 0, size, call)
  if (whole.PTTYPE === undefined || whole.TYPE !== undefined)
    return { volumes: [volume("the whole disk", 0, size, whole.TYPE)], gaps: [] }
  const listed = ["--raw", "--noheadings", "--bytes", "--output", "NR,START,SECTORS", path]
  const { status, stdout } = await runTool("partx", listed, LIMITS, call)
  if (status !== 0) throw unreadableDisk(`its partition table (${whole.PTTYPE}) cannot be read`)
  const rows = stdout.toString("latin1").trim().split("\n").filter(Boolean)
  const volumes: Volume[] = []
  const gaps: string[] = []
  for (const row of rows.slice(0, PARTITION_LIMIT)) {
    const [number = "?", start, sectors] = row.trim().split(/\s+/)
    const name = `partition ${number}`
    const [offset, length] = [Number(start) * SECTOR, Number(sectors) * SECTOR]
    if (!(Number.isSafeInteger(offset + length) && offset > 0 && length > 0 && offset + length <= size))
      gaps.push(`${name} lies outside the disk`)
    else volumes.push(volume(name, offset, length, (await probe(path, offset, length, call)).TYPE))
  }
  if (rows.length > PARTITION_LIMIT) gaps.push(`only ${PARTITION_LIMIT} of its partitions were looked at`)
  if (rows.length === 0) gaps.push(`its partition table (${whole.PTTYPE}) has no partition`)
  return { volumes, gaps }
}

function volume(name: string, offset: number, size: number, type: string | undefined): Volume {
  return { name, offset, size, ...(type !== undefined && { type }) }
}

/** What blkid finds by the magic numbers in this stretch of the file. */
async function probe(
  path: string,
  offset: number,
  size: number,
  call: Call,
): Promise<{ readonly TYPE?: string; readonly PTTYPE?: string }> {
  const stretch = ["--offset", `${offset}`, "--size", `${size}`]
  const shown = ["--output", "export", "--match-tag", "TYPE", "--match-tag", "PTTYPE"]
  // Status 2: nothing that it knows. 8: several things at once, which is nothing that can be relied on.
  const { status, stdout } = await runTool("blkid", ["--probe", ...stretch, ...shown, path], LIMITS, call)
  if (status !== 0 && status !== 2 && status !== 8) throw unreadableDisk("blkid could not look at it")
  return Object.fromEntries(
    [...stdout.toString("latin1").matchAll(/^(TYPE|PTTYPE)=([\w.-]{1,40})$/gm)].map(([, name, value]) => [
      name,
      value,
    ]),
  )
}
