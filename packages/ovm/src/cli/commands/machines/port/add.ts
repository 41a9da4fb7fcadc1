import type { Command } from "commander"
import { forwardText, parseForward } from "../../../../network/forward.ts"
import { findInstance } from "../../../instances.ts"
import { print, printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

export function define(command: Command): void {
  command
    .description(
      "Have one more port of this host lead to a machine: at once where it runs, and when it is started again.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .argument("<port>", "[[ADDRESS:]HOST:]GUEST[/udp], as --publish of `ovm run` takes it")
    .option("--json", "print JSON: a Port of the runtime API")
    .action(run)
  examples(command, "ovm port add web 8080:80", "ovm port add web 0.0.0.0:5353:53/udp")
}

async function run(text: string, port: string, { json }: { readonly json?: boolean }): Promise<void> {
  const wanted = parseForward(port)
  const { runtime, instance } = await findInstance(text)
  const added = await runtime.addPort(instance.instance_id, wanted)
  if (json) printJson(added)
  else print(`${forwardText(added)}\n`)
}
