import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { useDaemon } from "../../../daemon.ts"
import { formatAge } from "../../../format.ts"
import { printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"
import { printListing } from "../../../terminal/lines.ts"

const BEING_MADE = "something of it is missing on this host or stands still, and is being put in order"

interface InspectOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Show a network, whether it works, and the addresses of the machines in it.")
    .argument("<network>", "name of the network")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm network inspect lab --json")
}

async function run(name: string, { json }: InspectOptions): Promise<void> {
  const runtime = await useDaemon()
  const network = (await runtime.networks()).find((one) => one.name === name)
  if (!network) throw new OvmError("OVM_NETWORK_UNKNOWN", `there is no network ${JSON.stringify(name)}`)
  if (json) return printJson(network)
  printListing([
    ["name", network.name],
    ["subnet", network.subnet],
    ["gateway", network.gateway],
    ["IPv6", network.ipv6_subnet ?? "none"],
    ["IPv6 gateway", network.ipv6_gateway],
    ["interface", network.interface],
    ["outbound", network.internal ? "none: it is internal" : "to public addresses"],
    ["created", `${network.created} (${formatAge(network.created)})`],
    ["degraded", network.degraded ? (network.error?.message ?? BEING_MADE) : undefined],
    ...network.instances.map(({ instance_id, address, ipv6_address = "", in_use }): [string, string] => [
      "machine",
      `${`${instance_id} ${address} ${ipv6_address}`.trim()}${in_use ? "" : ", has ended"}`,
    ]),
  ])
}
