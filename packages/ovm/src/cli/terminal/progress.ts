import type { SingleBar } from "cli-progress"
import type { CopyEvent } from "../../content/copy.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { isManifest } from "../../content/manifest.ts"
import { formatSize, shortDigest } from "../format.ts"
import { isTerminal, printable } from "../output.ts"

/** Shows how a copy gets on. */
export interface Progress extends Disposable {
  onProgress(event: CopyEvent): void
}

const NOTHING: Progress = { onProgress() {}, [Symbol.dispose]() {} }
const NAME_WIDTH = 24

/** A bar for each blob, on standard error, if that is a terminal; else nothing. Dispose of it before anything else is printed. */
export async function openProgress(): Promise<Progress> {
  if (!isTerminal("stderr")) return NOTHING
  const { MultiBar, Presets } = await import("cli-progress")
  const bars = new Map<string, SingleBar>()
  const all = new MultiBar(
    {
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: false,
      format: "{name} {bar} {percentage}% {value} of {total}",
      formatValue: (value, _, type) =>
        type === "value" || type === "total" ? formatSize(value) : `${value}`,
    },
    Presets.shades_classic,
  )
  return {
    onProgress({ phase, descriptor, done, total }) {
      if (isManifest(descriptor) || phase === "exists") return
      const bar = bars.get(descriptor.digest) ?? all.create(total, 0, { name: label(descriptor) })
      bars.set(descriptor.digest, bar)
      bar.update(done)
    },
    [Symbol.dispose]: () => all.stop(),
  }
}

function label({ annotations, digest }: Descriptor): string {
  const title = annotations?.["org.opencontainers.image.title"] ?? shortDigest(digest)
  return printable(title).slice(0, NAME_WIDTH).padEnd(NAME_WIDTH)
}
