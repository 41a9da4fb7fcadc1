import type { Command } from "commander"
import { paths } from "../../../../host/paths.ts"
import { printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"
import { type Column, printTable } from "../../../terminal/table.ts"
import { listVmms, type VmmListed } from "../../../vmms.ts"

const COLUMNS: readonly Column[] = [
  { heading: "NAME" },
  { heading: "ADAPTER" },
  { heading: "STATE", least: 8 },
  { heading: "VERSION" },
  { heading: "ACCELERATORS", least: 8 },
  { heading: "SNAPSHOTS", spare: 2 },
  { heading: "UEFI", spare: 3 },
  { heading: "NETWORK", spare: 1 },
  { heading: "DEVICES", least: 8 },
]
const DEVICE = "device "

export function define(command: Command): void {
  command
    .description(
      "List the virtual machine monitors that this program has adapters for, and the adapters on PATH, with what " +
        "machines can have on each. An adapter on PATH that daemon.json does not name is not executed.",
    )
    .option("--json", "print JSON: with why each cannot do what it cannot")
    .action(run)
  examples(command, "ovm vmm ls", "ovm vmm ls --json | jq '.vmms[0].powers[] | select(.offered | not)'")
}

async function run({ json }: { readonly json?: boolean }): Promise<void> {
  const vmms = await listVmms(paths())
  if (json) printJson({ vmms })
  else printTable(COLUMNS, vmms.map(row))
}

function row({ name, adapter, enabled, error, version, accelerators, powers = [] }: VmmListed): string[] {
  const offers = (wanted: string) => {
    const power = powers.find((one) => one.name === wanted)
    return power === undefined ? "" : power.offered ? "yes" : "no"
  }
  const devices = powers.filter((one) => one.offered && one.name.startsWith(DEVICE))
  return [
    name,
    adapter,
    enabled ? (error?.message ?? "enabled") : "not enabled",
    version ?? "",
    accelerators?.join(", ") ?? "",
    ...["snapshots", "uefi", "network"].map(offers),
    devices.map((one) => one.name.slice(DEVICE.length)).join(", "),
  ]
}
