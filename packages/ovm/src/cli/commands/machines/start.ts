import type { Command } from "commander"
import { useDaemon } from "../../daemon.ts"
import { nameFor } from "../../digits.ts"
import { interruptible } from "../../interrupt.ts"
import { launch } from "../../launch.ts"
import { defineMachineOptions, type MachineOptions } from "../../machine-options.ts"
import { print, printJson } from "../../output.ts"
import { pullByPolicy } from "../../pull-policy.ts"
import { examples } from "../../terminal/examples.ts"

interface StartOptions extends MachineOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Start a machine from an image that is on this host, and print the instance's id once it runs. Nothing is " +
      "pulled. Every start makes a new instance with a fresh disk; one that has stopped is not started again.",
  )
  defineMachineOptions(
    command.argument("<image>", "name of an image, or path of a manifest file, OCI layout or archive"),
  )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm start debian:13", "ovm start --name web --memory 1GiB --cpus 2 ./machine.json")
}

async function run(text: string, options: StartOptions): Promise<void> {
  const image = await nameFor(text)
  const answer = await interruptible(async (signal) => {
    await pullByPolicy(image, "never", { signal })
    return launch(await useDaemon({ signal }), image, options, { signal })
  })
  if (options.json) printJson(answer)
  else print(`${answer.instance_id}\n`)
}
