import { basename, dirname } from "node:path"
import type { Call } from "../../../content/interfaces.ts"
import { runTool, type ToolResult, unreadableDisk } from "../../../disk/tool.ts"
import type { RawDisk } from "./flatten.ts"
import type { Volume } from "./volumes.ts"

const MS = 60_000
const WORDS = 1024 * 1024

/**
 * An ext2, ext3 or ext4 file system, read by e2fsprogs' debugfs. It is neither mounted nor written to, and nothing in
 * it is run.
 */
export class ExtFiles {
  constructor(
    private readonly disk: RawDisk,
    private readonly volume: Volume,
    private readonly call: Call = {},
  ) {}

  /** Whether it was in use when the disk was taken: what its journal has is not in its files yet. */
  async needsRecovery(): Promise<boolean> {
    const { stdout } = await this.#run("show_super_stats -h", WORDS)
    const features = /^Filesystem features:(.*)$/m.exec(stdout.toString("latin1"))?.[1]
    if (features === undefined) throw unreadableDisk("debugfs cannot read its superblock")
    return /\bneeds_recovery\b/.test(features)
  }

  /**
   * The content of a regular file; undefined if there is no such path. `path` is ours, never the disk's. Symbolic links
   * are not followed. Throws OVM_DISK_INVALID if it is something else, above `limit` bytes, or not as long as it says.
   */
  async read(path: string, limit: number): Promise<Buffer | undefined> {
    const { stdout, stderr } = await this.#run(`stat ${path}`, WORDS)
    const about = stdout.toString("latin1")
    const type = /^Inode: \d+ +Type: (.+?) +Mode:/.exec(about)?.[1]
    const size = Number(/^User:.*\bSize: (\d+)$/m.exec(about)?.[1])
    if (type === undefined || !Number.isSafeInteger(size)) {
      if (/File not found/.test(stderr)) return undefined
      throw unreadableDisk(`debugfs cannot read ${path}`)
    }
    if (type !== "regular") throw unreadableDisk(`${path} is no regular file but: ${type}`)
    if (size > limit)
      throw unreadableDisk(`${path} says that it has ${size} bytes, above the limit of ${limit}`)
    const content = (await this.#run(`cat ${path}`, size)).stdout
    if (content.byteLength === size) return content
    throw unreadableDisk(`${path} has ${content.byteLength} bytes, but says that it has ${size}`)
  }

  /** Whether there is anything at `path`. */
  async exists(path: string): Promise<boolean> {
    return /^Inode: \d+/.test((await this.#run(`stat ${path}`, WORDS)).stdout.toString("latin1"))
  }

  async #run(request: string, output: number): Promise<ToolResult> {
    const { path } = this.disk
    // debugfs takes options after a question mark: the folder, which may have one in its name, is left out.
    const device = `./${basename(path)}?offset=${this.volume.offset}`
    const options = { ...this.call, cwd: dirname(path) }
    const result = await runTool("debugfs", ["-R", request, device], { ms: MS, output }, options)
    const broken = /^(?:\.\/|\/).*: (.*) while (?:opening|trying to open|reading)/m.exec(result.stderr)
    if (broken) throw unreadableDisk(`debugfs cannot open it: ${broken[1]}`)
    return result
  }
}
