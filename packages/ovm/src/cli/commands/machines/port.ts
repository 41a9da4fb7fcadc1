import type { Command } from "commander"
import { forwardText } from "../../../network/forward.ts"
import { findInstance } from "../../instances.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import * as add from "./port/add.ts"
import * as rm from "./port/rm.ts"

interface PortOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "List the ports of this host that lead to a machine, one a line. They are opened when it starts, " +
        "as --publish and --publish-all of `ovm run` say, and stay what they are when it is started again.",
    )
    .argument("<instance>", "id, start of an id, or name")
    // That of a command below is its own.
    .enablePositionalOptions()
    .option("--json", "print JSON: ports of the InstanceInfo of the runtime API")
    .action(run)
  add.define(command.command("add").summary("Have one more port of this host lead to a machine"))
  rm.define(command.command("rm").summary("Close a port that leads to a machine"))
  examples(command, "ovm port web", "ovm port web --json", "ovm port add web 8080:80")
}

async function run(text: string, options: PortOptions): Promise<void> {
  const { instance } = await findInstance(text)
  const ports = instance.network?.ports ?? []
  if (options.json) printJson({ ports })
  else print(ports.map((port) => `${forwardText(port)}\n`).join(""))
}
