import type { Command } from "commander"
import { type ArchiveOptions, type ArchiveRoot, writeArchive } from "../../../content/archive/write.ts"
import type { LayoutReader } from "../../../content/layout/reader.ts"
import { OvmError } from "../../../errors.ts"
import { batches } from "../../../files/batch.ts"
import { baseIn } from "../../../images/along.ts"
import { nameFor } from "../../digits.ts"
import { interruptible } from "../../interrupt.ts"
import { explainUnknown, storeName } from "../../names.ts"
import { isTerminal, printBytes, printError, printJson } from "../../output.ts"
import { writeOutput } from "../../output-file.ts"
import { openStoreToRead } from "../../store.ts"
import { examples } from "../../terminal/examples.ts"
import { openProgress } from "../../terminal/progress.ts"

interface SaveOptions {
  readonly output: string
  readonly includeReferrers?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Write images of this host into one file: the tar archive of an OCI layout, which ovm load and other " +
        "tools read. The same images give the same bytes. `-` is standard output.",
    )
    .argument("<images...>", "names of images on this host")
    .requiredOption("-o, --output <file>", "where to write; - for standard output")
    .option("--include-referrers", "also what refers to the images: signatures, SBOMs, snapshots")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm save -o machines.tar debian:13 registry.example.com/machines/build:2",
    "ovm save -o - debian:13 | ssh elsewhere ovm load -i -",
  )
}

async function run(images: readonly string[], options: SaveOptions): Promise<void> {
  const piped = options.output === "-"
  if (piped && (options.json || isTerminal("stdout")))
    throw new OvmError(
      "OVM_USAGE",
      `standard output ${options.json ? "cannot have both" : "is a terminal"}`,
      {
        hint: "-o FILE",
      },
    )
  const roots = await interruptible(async (signal) => {
    await using store = await openStoreToRead()
    const roots = await resolveAll(store, images)
    using progress = await openProgress()
    const bases = await Promise.all(roots.map(({ target }) => baseIn(store, target, { signal })))
    const all = [...roots, ...bases.flatMap((target) => (target ? [{ target }] : []))]
    const content = writeArchive(store, all, archiveOptions(options, signal, progress))
    if (piped) for await (const { chunks } of batches(content)) await printBytes(Buffer.concat(chunks))
    else await writeOutput(options.output, content)
    return roots
  })
  const saved = roots.map(({ name, target }) => ({ reference: name, digest: target.digest }))
  if (options.json) printJson({ file: options.output, images: saved })
  else printError(saved.map(({ reference, digest }) => `${digest}  ${reference}\n`).join(""))
}

function archiveOptions(
  { includeReferrers = false }: SaveOptions,
  signal: AbortSignal,
  { onProgress }: Pick<ArchiveOptions, "onProgress">,
): ArchiveOptions {
  return { signal, includeReferrers, ...(onProgress && { onProgress }) }
}

async function resolveAll(store: LayoutReader, images: readonly string[]): Promise<ArchiveRoot[]> {
  const roots: ArchiveRoot[] = []
  for (const image of images) {
    const name = storeName(await nameFor(image))
    try {
      roots.push({ name, target: await store.resolve(name) })
    } catch (thrown) {
      throw explainUnknown(thrown, image)
    }
  }
  return roots
}
