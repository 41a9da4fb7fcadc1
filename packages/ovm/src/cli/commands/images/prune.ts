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
  const steps = all ? await dropSteps(dryRun) : 0
  const found = await interruptible((signal) =>
    collectImages(paths(), { signal, dryRun, partials: all, cache: true }),
  )
  if (json) printJson(modelOf(found, { dryRun, steps }))
  else printListing([...lines(found, steps), [dryRun ? "would free" : "freed", formatSize(found.freed)]])
}

function modelOf(
  { removed, bytes, unfinished, evicted, freed }: Freed,
  { dryRun, steps }: { readonly dryRun: boolean; readonly steps: number },
) {
  const cached = evicted.map(({ recipe, digest, bytes }) => ({ kind: recipe, digest, size: bytes }))
  const cache = { size: cached.reduce((sum, { size }) => sum + size, 0), removed: cached }
  return {
    dry_run: dryRun,
    steps,
    content: { size: bytes, removed },
    unfinished: { size: unfinished },
    cache,
    freed,
  }
}

/** Names of what builds have kept of their steps; the content goes with the others. How many. */
async function dropSteps(dryRun: boolean): Promise<number> {
  await using store = await openStore()
  const names = (await Array.fromAsync(store.list())).filter(({ reference }) => isStep(reference))
  if (!dryRun) for (const { reference } of names) await store.untag(reference)
  return names.length
}

function lines({ removed, bytes, unfinished, evicted }: Freed, steps: number): [string, string][] {
  const cached = evicted.reduce((sum, entry) => sum + entry.bytes, 0)
  return [
    ...(steps > 0
      ? [["steps", `${formatCount(steps, "step")} of builds, with what only they have`] as [string, string]]
      : []),
    ["content", `${formatSize(bytes)}, ${formatCount(removed.length, "blob")} without a name`],
    ["unfinished", `${formatSize(unfinished)}, left by pulls and the like`],
    ["cache", `${formatSize(cached)}, ${formatCount(evicted.length, "file")}`],
  ]
}
