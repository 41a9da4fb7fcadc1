import type { Command } from "commander"
import { type ArchiveOptions, type ArchiveRoot, writeArchive } from "../../../content/archive/write.ts"
import type { Call } from "../../../content/interfaces.ts"
import type { LayoutReader } from "../../../content/layout/reader.ts"
import { OvmError } from "../../../errors.ts"
import { batches } from "../../../files/batch.ts"
import { baseIn, subjectsOf } from "../../../images/along.ts"
import { parseReference } from "../../../registry/reference.ts"
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
    if (options.includeReferrers) all.push(...(await evidenceOf(store, roots, { signal })))
    const content = writeArchive(store, all, archiveOptions(options, signal, progress))
    if (piped) for await (const { chunks } of batches(content)) await printBytes(Buffer.concat(chunks))
    else await writeOutput(options.output, content)
    return roots
  })
  const saved = roots.map(({ name, target }) => ({ reference: name, digest: target.digest }))
  if (options.json) printJson({ file: options.output, images: saved })
  else printError(saved.map(({ reference, digest }) => `${digest}  ${reference}\n`).join(""))
}

/** Signatures in Cosign's older form, by their names: nothing leads to them. */
async function evidenceOf(
  store: LayoutReader,
  roots: readonly ArchiveRoot[],
  call: Call,
): Promise<ArchiveRoot[]> {
  const { legacyTargets } = await import("../../../signing/legacy/carry.ts")
  const found = new Map<string, ArchiveRoot>()
  for (const { name, target } of roots) {
    const prefix = `${parseReference(name ?? "").name}:`
    for (const subject of await subjectsOf(store, target, call))
      for (const one of await legacyTargets({ store, prefix }, subject, call))
        found.set(`${prefix}${one.name}`, { name: `${prefix}${one.name}`, target: one.target })
  }
  return [...found.values()]
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
