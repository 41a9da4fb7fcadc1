import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { useDaemon } from "../../../daemon.ts"
import { print, printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

interface PruneOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Delete the networks that no machine on record was started in.")
    .option("-n, --dry-run", "show what would be deleted")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm network prune --dry-run")
}

async function run({ dryRun = false, json }: PruneOptions): Promise<void> {
  const runtime = await useDaemon()
  const removed: { name: string }[] = []
  for (const { name, instances } of await runtime.networks())
    if (instances.length === 0 && (dryRun || (await wasRemoved(runtime, name)))) removed.push({ name })
  if (json) return printJson({ dry_run: dryRun, removed })
  print(removed.map(({ name }) => `${name}\n`).join(""))
}

/** False if somebody has started a machine in it meanwhile, or removed it. */
async function wasRemoved(runtime: Awaited<ReturnType<typeof useDaemon>>, name: string): Promise<boolean> {
  try {
    await runtime.removeNetwork(name)
    return true
  } catch (thrown) {
    const lost = thrown instanceof OvmError && /^OVM_NETWORK_(IN_USE|UNKNOWN)$/.test(thrown.code)
    if (lost) return false
    throw thrown
  }
}
