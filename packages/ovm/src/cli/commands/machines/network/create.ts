import type { Command } from "commander"
import { useDaemon } from "../../../daemon.ts"
import { hinted } from "../../../hinted.ts"
import { print, printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

interface CreateOptions {
  readonly subnet?: string
  readonly ipv6Subnet?: string
  /** False: by --no-ipv6. */
  readonly ipv6: boolean
  readonly internal?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Make a network that machines are started in by `--network NAME`. It takes root.")
    .argument("<name>", "name of the network")
    .option(
      "--subnet <network>",
      "addresses of its machines, such as 10.210.3.0/24; some that are free otherwise",
    )
    .option(
      "--ipv6-subnet <network>",
      "the same by IPv6, such as fd12:3456:789a:1::/64; a random one otherwise",
    )
    .option("--no-ipv6", "IPv4 alone")
    .option("--internal", "nothing leads out of it")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm network create lab", "ovm network create --subnet 10.210.3.0/24 --internal backend")
}

async function run(name: string, { subnet, ipv6Subnet, ipv6, internal, json }: CreateOptions): Promise<void> {
  const runtime = await useDaemon()
  const request = {
    name,
    ...(subnet !== undefined && { subnet }),
    ...(ipv6Subnet !== undefined && { ipv6_subnet: ipv6Subnet }),
    ...(!ipv6 && { ipv6 }),
    ...(internal && { internal }),
  }
  const network = await runtime.createNetwork(request).catch((thrown) => {
    const taken = hinted(
      thrown,
      "OVM_NAME_IN_USE",
      `ovm network inspect ${name}; ovm network rm ${name} deletes it`,
    )
    throw hinted(
      taken,
      "OVM_PERMISSION_DENIED",
      `sudo ovm network create ${name}; machines in it are root's as well`,
    )
  })
  if (json) printJson(network)
  else print(`${network.name}\n`)
}
