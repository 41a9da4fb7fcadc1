import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { useDaemon } from "../../../daemon.ts"
import { formatSize } from "../../../format.ts"
import { print, printJson, warn } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

interface PruneOptions {
  readonly dryRun?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Delete the volumes that no machine on record has, with all that they hold.")
    .option("-n, --dry-run", "show what would be deleted")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm volume prune --dry-run")
}

async function run({ dryRun = false, json }: PruneOptions): Promise<void> {
  const runtime = await useDaemon()
  const removed: { name: string; used: number }[] = []
  const volumes = await runtime.volumes()
  for (const { name, used, instances } of volumes)
    if (instances.length === 0 && (dryRun || (await wasRemoved(runtime, name)))) removed.push({ name, used })
  const unread = (await runtime.list()).filter(({ error }) => error?.code === "OVM_RECORD_UNREADABLE")
  for (const { instance_id, name } of unread) {
    const its = volumes.filter(({ instances }) => instances.some((one) => one.instance_id === instance_id))
    const names = its.map((volume) => volume.name).join(", ")
    if (names) warn(`kept what ${name} has or may have, whose record cannot be read: ${names}`)
  }
  if (json) return printJson({ dry_run: dryRun, removed })
  print(removed.map(({ name, used }) => `${name}  ${formatSize(used)}\n`).join(""))
}

/** False if somebody has started a machine with it meanwhile, or removed it. */
async function wasRemoved(runtime: Awaited<ReturnType<typeof useDaemon>>, name: string): Promise<boolean> {
  try {
    await runtime.removeVolume(name)
    return true
  } catch (thrown) {
    const lost = thrown instanceof OvmError && /^OVM_VOLUME_(IN_USE|UNKNOWN)$/.test(thrown.code)
    if (lost) return false
    throw thrown
  }
}
