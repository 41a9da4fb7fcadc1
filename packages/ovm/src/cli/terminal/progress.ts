import { basename } from "node:path"
import type { SingleBar } from "cli-progress"
import type { CopyEvent } from "../../content/copy.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { isManifest } from "../../content/manifest.ts"
import { shortDigest } from "../format.ts"
import { isTerminal, printable } from "../output.ts"
import { columnsOf, USUAL_COLUMNS } from "./columns.ts"
import { Meter } from "./meter.ts"
import { type Item, progressLine } from "./progress-line.ts"

/** Shows how a copy gets on. */
export interface Progress extends Disposable {
  onProgress(event: CopyEvent): void
  /** `done` of the `total` bytes of a file have become part of a blob. */
  onFile(path: string, done: number, total: number): void
}

const NOTHING: Progress = { onProgress() {}, onFile() {}, [Symbol.dispose]() {} }
/** More lines than a terminal has could not be drawn anew; what comes after them goes on unseen. */
const SPARE_ROWS = 2

/**
 * A line for each blob, on standard error, if that is a terminal that can draw a line anew; else nothing. Dispose of it
 * before anything else is printed.
 */
export async function openProgress(): Promise<Progress> {
  if (!isTerminal("stderr") || process.env.TERM === "dumb") return NOTHING
  const { MultiBar } = await import("cli-progress")
  const { stderr } = process
  const shown = new Map<string, { readonly bar: SingleBar; readonly item: Item }>()
  const all = new MultiBar({
    stream: stderr,
    hideCursor: true,
    clearOnComplete: false,
    format: (_options, _params, { item }: { item: Item }) =>
      progressLine(item, performance.now(), (columnsOf("stderr") ?? USUAL_COLUMNS) - 1),
  })
  const lineOf = (key: string, name: string, total: number) => {
    const known = shown.get(key)
    if (known || shown.size >= (stderr.rows || 24) - SPARE_ROWS) return known
    const item: Item = {
      name: printable(name),
      total,
      began: performance.now(),
      meter: new Meter(),
      phase: "transfer",
      done: 0,
    }
    const line = { bar: all.create(Math.max(total, 1), 0, { item }), item }
    shown.set(key, line)
    return line
  }
  const tell = (phase: CopyEvent["phase"], done: number, line: ReturnType<typeof lineOf>) => {
    if (!line) return
    const { bar, item } = line
    const now = performance.now()
    if (done > 0) item.meter.note(done, now)
    if (phase !== "transfer") item.ended = now
    Object.assign(item, { phase, done })
    bar.update(done)
  }
  return {
    onProgress({ phase, descriptor, done, total }) {
      if (!isManifest(descriptor)) tell(phase, done, lineOf(descriptor.digest, nameOf(descriptor), total))
    },
    onFile(path, done, total) {
      tell(done < total ? "transfer" : "done", done, lineOf(path, basename(path), total))
    },
    [Symbol.dispose]: () => all.stop(),
  }
}

function nameOf({ annotations, digest }: Descriptor): string {
  return annotations?.["org.opencontainers.image.title"] ?? shortDigest(digest)
}
