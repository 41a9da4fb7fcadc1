import type { Command } from "commander"
import { paths } from "../../../host/paths.ts"
import { collectImages, type Freed } from "../../../images/collect.ts"
import { isStep } from "../../build/step-name.ts"
import { formatCount, formatSize } from "../../format.ts"
import { interruptible } from "../../interrupt.ts"
import { printJson } from "../../output.ts"
import { openStore } from "../../store.ts"
import { examples } from "../../terminal/examples.ts"
import { printListing } from "../../terminal/lines.ts"

interface PruneOptions {
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Free what nobody uses: content without a name, what broken pulls have left, and cached files, which are " +
        "made again when they are wanted. Images and snapshots that have a name stay, and so do all machines with " +
        "their disks: ovm rmi and ovm rm remove those.",
    )
    .option(
      "-a, --all",
      "also what pulls of the last week have left, and steps of builds, which the next one would go on with",
    )
    .option("-n, --dry-run", "only say what would be freed")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm prune --dry-run", "ovm prune --all")
}

async function run({ all = false, dryRun = false, json }: PruneOptions): Promise<void> {
  // A host without a store has one without content.
  await (await openStore()).close()
  const found = await interruptible((signal) =>
    collectImages(paths(), { signal, dryRun, partials: all, cache: true, ...(all && { forget: isStep }) }),
  )
  if (json) printJson(modelOf(found, dryRun))
  else printListing([...lines(found), [dryRun ? "would free" : "freed", formatSize(found.freed)]])
}

function modelOf({ removed, bytes, unfinished, forgotten, evicted, freed }: Freed, dryRun: boolean) {
  const cached = evicted.map(({ recipe, digest, bytes }) => ({ kind: recipe, digest, size: bytes }))
  const cache = { size: cached.reduce((sum, { size }) => sum + size, 0), removed: cached }
  return {
    dry_run: dryRun,
    steps: forgotten,
    content: { size: bytes, removed },
    unfinished: { size: unfinished },
    cache,
    freed,
  }
}

function lines({ removed, bytes, unfinished, forgotten, evicted }: Freed): [string, string][] {
  const cached = evicted.reduce((sum, entry) => sum + entry.bytes, 0)
  return [
    ...(forgotten > 0
      ? [
          ["steps", `${formatCount(forgotten, "step")} of builds, with what only they have`] as [
            string,
            string,
          ],
        ]
      : []),
    ["content", `${formatSize(bytes)}, ${formatCount(removed.length, "blob")} without a name`],
    ["unfinished", `${formatSize(unfinished)}, left by pulls and the like`],
    ["cache", `${formatSize(cached)}, ${formatCount(evicted.length, "file")}`],
  ]
}
