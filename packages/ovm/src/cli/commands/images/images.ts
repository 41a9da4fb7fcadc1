import { type Command, Option } from "commander"
import { parseReference } from "../../../registry/reference.ts"
import { parseLegacyTag } from "../../../signing/legacy/tags.ts"
import { isStep } from "../../build/step-name.ts"
import { formatAge, formatSize, shortDigest } from "../../format.ts"
import { print, printJson } from "../../output.ts"
import { openStoreToRead } from "../../store.ts"
import { KINDS, type Summary, summarize } from "../../summary.ts"
import { examples } from "../../terminal/examples.ts"
import { type Column, printTable } from "../../terminal/table.ts"

interface ImagesOptions {
  readonly quiet?: boolean
  readonly json?: boolean
  readonly type?: Summary["type"]
}

const COLUMNS: readonly Column[] = [
  { heading: "NAME", least: 16, keep: "end" },
  { heading: "TAG", least: 8 },
  { heading: "TYPE" },
  { heading: "DIGEST", spare: 2 },
  { heading: "SIZE", spare: 1 },
  { heading: "BASE", least: 12, keep: "end", spare: 3 },
  { heading: "CREATED" },
]

export function define(command: Command): void {
  command
    .description(
      "List the images on this host, snapshots among them: their size is that of what they add to their base.",
    )
    .option("-q, --quiet", "print digests only, one a line")
    .addOption(new Option("--type <type>", "only these").choices(KINDS))
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm images", "ovm images --type snapshot", "ovm images --json")
}

async function run(options: ImagesOptions): Promise<void> {
  const images = (await collect()).filter(({ type }) => options.type === undefined || type === options.type)
  if (options.json) printJson(images)
  else if (options.quiet) print([...new Set(images.map((image) => `${image.digest}\n`))].join(""))
  else printTable(COLUMNS, images.map(row))
}

async function collect(): Promise<Summary[]> {
  await using store = await openStoreToRead()
  const all = await Array.fromAsync(store.list())
  const images: Summary[] = []
  for (const { reference, target } of all) {
    const named = split(reference)
    // Signatures of the older form have names of their own.
    if (parseLegacyTag(named.tag) || isStep(reference)) continue
    const { size, created, snapshotOf, platforms } = await summarize(store, target)
    const names = all.filter((one) => one.target.digest === snapshotOf).map((one) => one.reference)
    images.push({
      ...named,
      type: snapshotOf ? "snapshot" : platforms ? "index" : "machine",
      digest: target.digest,
      ...(snapshotOf && { base: { digest: snapshotOf, names } }),
      ...(platforms && { platforms }),
      size,
      ...(created && { created }),
    })
  }
  return images.toSorted((a, b) => a.name.localeCompare(b.name) || a.tag.localeCompare(b.tag))
}

/** Other tools may have put names into the layout that are no references. */
function split(reference: string): { name: string; tag: string } {
  try {
    const { name, tag } = parseReference(reference)
    return { name, tag: tag ?? "" }
  } catch {
    return { name: reference, tag: "" }
  }
}

function row({ name, tag, type, digest, size, base, platforms = [], created }: Summary): string[] {
  const on = base ? (base.names[0] ?? shortDigest(base.digest)) : platforms.join(", ")
  return [name, tag, type, shortDigest(digest), formatSize(size), on, formatAge(created)]
}
