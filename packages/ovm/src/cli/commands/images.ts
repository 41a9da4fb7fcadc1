import type { Command } from "commander"
import { parseReference } from "../../registry/reference.ts"
import { parseLegacyTag } from "../../signing/legacy/tags.ts"
import { examples } from "../examples.ts"
import { formatAge, formatSize, shortDigest } from "../format.ts"
import { print, printJson } from "../output.ts"
import { openStoreToRead } from "../store.ts"
import { type Summary, summarize } from "../summary.ts"
import { table } from "../table.ts"

interface ImagesOptions {
  readonly quiet?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command.option("-q, --quiet", "print digests only, one a line").option("--json", "print JSON").action(run)
  examples(command, "ovm images", "ovm images --json")
}

async function run(options: ImagesOptions): Promise<void> {
  const images = await collect()
  if (options.json) printJson(images)
  else if (options.quiet) print([...new Set(images.map((image) => `${image.digest}\n`))].join(""))
  else print(table(["NAME", "TAG", "DIGEST", "SIZE", "CREATED"], images.map(row)))
}

async function collect(): Promise<Summary[]> {
  await using store = await openStoreToRead()
  const images: Summary[] = []
  for await (const { reference, target } of store.list()) {
    const named = split(reference)
    // Signatures of the older form have names of their own.
    if (parseLegacyTag(named.tag)) continue
    const { size, created } = await summarize(store, target)
    images.push({ ...named, digest: target.digest, size, ...(created && { created }) })
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

function row({ name, tag, digest, size, created }: Summary): string[] {
  return [name, tag, shortDigest(digest), formatSize(size), formatAge(created)]
}
