import { type FSWatcher, watch } from "node:fs"
import { type FileHandle, readdir, stat } from "node:fs/promises"
import { join } from "node:path"
import type { Bytes, Call } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import { ifPresent, isAbsent } from "../files/present.ts"
import { openRegular } from "../files/regular.ts"
import { CONSOLE_PREFIX } from "./process/traces.ts"

export interface ConsoleOptions extends Call {
  /**
   * Where to start in the whole stream, in bytes; what is no longer kept is skipped. The oldest kept byte unless given.
   */
  readonly offset?: number
  /** Go on until `ended` has settled and everything is read; otherwise stop at what is there now. */
  readonly follow?: boolean
  /** Told before each piece where in the whole stream it begins. */
  readonly at?: (offset: number) => void
  /** Settles when nothing more will be written: the machine's `exited`. */
  readonly ended?: Promise<unknown>
}

const CHUNK = 64 << 10
/** In case a file system does not report changes, and for the next segment, which is a file of its own. */
const LOOK_AGAIN_MS = 500

/**
 * What a machine in `directory` wrote to its console, byte for byte. Only the last two segments are kept
 * (docs/design/0034-keeper.md): a reader that is slower than the machine misses the bytes between. Ends quietly when
 * `signal` is aborted.
 */
export async function* readConsole(directory: string, options: ConsoleOptions = {}): Bytes {
  const { signal, follow = false, ended = new Promise<never>(() => {}) } = options
  let over = false
  const bell = follow ? new Bell(directory) : undefined
  const stop = () => bell?.ring()
  signal?.addEventListener("abort", stop)
  ended.then(() => {
    over = true
    stop()
  })
  let position = options.offset ?? 0
  let segment: { readonly start: number; readonly file: FileHandle } | undefined
  try {
    while (!signal?.aborted) {
      const last = over
      // A deleted segment stays readable while it is open, so it is read to its end before the next one is looked for.
      const buffer = new Uint8Array(CHUNK)
      const read = segment
        ? (await segment.file.read(buffer, 0, CHUNK, position - segment.start)).bytesRead
        : 0
      if (read > 0) {
        options.at?.(position)
        position += read
        yield buffer.subarray(0, read)
        continue
      }
      const next = await segmentAt(directory, position, segment?.start)
      if (next) {
        await segment?.file.close()
        segment = next
        bell?.watch(pathOf(directory, next.start))
        position = Math.max(position, next.start)
      } else if (!follow || last) return
      else await bell?.wait(over ? 0 : LOOK_AGAIN_MS)
    }
  } catch (thrown) {
    throw toOvmError(thrown)
  } finally {
    signal?.removeEventListener("abort", stop)
    bell?.close()
    await segment?.file.close()
  }
}

/**
 * Throws what reading the console of a machine in `directory` from its beginning would throw first: before an answer
 * has begun.
 */
export async function assertReadable(directory: string): Promise<void> {
  try {
    await (await segmentAt(directory, 0))?.file.close()
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}

/** The first byte that is still kept, in the whole stream. Throws what reading throws. */
export async function oldestOffset(directory: string): Promise<number> {
  return (await startsIn(directory))[0] ?? 0
}

/** Behind the last byte that is kept, in the whole stream. Throws what reading throws. */
export async function endOffset(directory: string): Promise<number> {
  const start = (await startsIn(directory)).at(-1)
  if (start === undefined) return 0
  return start + ((await ifPresent(stat(pathOf(directory, start))))?.size ?? 0)
}

/** Opens the segment that holds `position`, or the first one after it; undefined if that is the one already open. */
async function segmentAt(directory: string, position: number, current = -1) {
  const starts = await startsIn(directory)
  const start = starts.findLast((offset) => offset <= position) ?? starts[0]
  if (start === undefined || start <= current) return undefined
  // Rotated away between the two calls: the caller looks again.
  const file = await ifPresent(openRegular(pathOf(directory, start)))
  return file && { start, file }
}

function pathOf(directory: string, start: number): string {
  return join(directory, `${CONSOLE_PREFIX}${start}`)
}

/** Where its segments begin, in order. */
async function startsIn(directory: string): Promise<number[]> {
  const names = (await ifPresent(readdir(directory))) ?? []
  return names
    .filter((name) => /^console\.\d+$/.test(name))
    .map((name) => Number(name.slice(CONSOLE_PREFIX.length)))
    .sort((a, b) => a - b)
}

/**
 * Waits for something to happen, without missing what happens between two waits: in the folder as long as there is no
 * segment, and to the last segment alone from then on. In the folder is what the guest writes to its disk, too.
 */
class Bell {
  #rung = false
  #wake = () => {}
  #watcher: FSWatcher | undefined

  constructor(directory: string) {
    this.watch(directory)
  }

  watch(path: string): void {
    this.#watcher?.close()
    try {
      this.#watcher = watch(path, { persistent: false }, () => this.ring())
      this.#watcher.on("error", () => this.ring())
    } catch (thrown) {
      // Rotated away: the next one is looked for.
      if (!isAbsent(thrown)) throw thrown
      this.#watcher = undefined
    }
  }

  ring(): void {
    this.#rung = true
    this.#wake()
  }

  close(): void {
    this.#watcher?.close()
  }

  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      let timer: ReturnType<typeof setTimeout> | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        timer = setTimeout(resolve, ms)
      })
      clearTimeout(timer)
    }
    this.#rung = false
  }
}
