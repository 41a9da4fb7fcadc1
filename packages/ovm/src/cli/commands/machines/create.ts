import type { Command } from "commander"
import { useDaemon } from "../../daemon.ts"
import { nameFor } from "../../digits.ts"
import { interruptible } from "../../interrupt.ts"
import { defineMachineOptions, type MachineOptions, startRequest } from "../../machine-options.ts"
import { print, printJson } from "../../output.ts"
import { PULL_POLICIES, type PullPolicy, pullByPolicy, pullCall } from "../../pull-policy.ts"
import { examples } from "../../terminal/examples.ts"

interface CreateOptions extends MachineOptions {
  readonly pull: PullPolicy
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Make a machine from an image, pulling it if it is not on this host, and print its id. Everything is checked that " +
      "can be without starting it, which `ovm start` does; `ovm rm` removes it.",
  )
  defineMachineOptions(
    command.argument("<image>", "name of an image, or path of a manifest file, OCI layout or archive"),
  )
    .addOption(
      command
        .createOption("--pull <when>", "copy the image from its registry")
        .choices(PULL_POLICIES)
        .default("missing"),
    )
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm create --name web --memory 1GiB --cpus 2 debian:13")
}

async function run(text: string, options: CreateOptions): Promise<void> {
  const image = await nameFor(text)
  const answer = await interruptible(async (signal) => {
    await pullByPolicy(image, options.pull, pullCall(options, signal))
    return await (await useDaemon({ signal })).create(await startRequest(image, options), { signal })
  })
  if (options.json) printJson(answer)
  else print(`${answer.instance_id}\n`)
}
