import type { Command } from "commander"
import { forwardText, parseHostSide } from "../../../../network/forward.ts"
import { findInstance } from "../../../instances.ts"
import { print, printJson, warn } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

export function define(command: Command): void {
  command
    .description(
      "Close a port of this host that leads to a machine, at once where that runs. Connections by a port that was " +
        "added while it ran end with it. One that a running machine with passt was started with lets nobody in any " +
        "more, and who is in stays; nobody else can have it until the machine ends.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .argument("<port>", "[ADDRESS:]HOST[/udp], the address being 127.0.0.1 unless it is said")
    .option("--json", "print JSON: the Port of the runtime API that it was")
    .action(run)
  examples(command, "ovm port rm web 8080", "ovm port rm web 0.0.0.0:5353/udp")
}

async function run(text: string, port: string, { json }: { readonly json?: boolean }): Promise<void> {
  const named = parseHostSide(port)
  const { runtime, instance } = await findInstance(text)
  const removed = await runtime.removePort(instance.instance_id, named)
  if (json) printJson(removed)
  else print(`${forwardText(removed)}\n`)
  if (removed.held && !json)
    warn(`it is closed, and no one else can have port ${removed.host} of this host until the machine ends`)
}
