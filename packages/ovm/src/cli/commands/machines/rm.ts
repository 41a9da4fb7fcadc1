import type { Command } from "commander"
import { forEach } from "../../failure.ts"
import { hinted } from "../../hinted.ts"
import { findInstance } from "../../instances.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface RmOptions {
  readonly force?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Forget machines that have ended, with their console and the disk that they wrote to.")
    .argument("<instance...>", "id, start of an id, or name")
    .option("-f, --force", "kill those that still run")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm rm web", "ovm rm --force $(ovm ps --all --quiet)")
}

async function run(names: readonly string[], options: RmOptions): Promise<void> {
  const remove = async (name: string) => {
    const { runtime, instance } = await findInstance(name)
    await runtime.remove(instance.instance_id, { force: options.force ?? false }).catch((thrown) => {
      throw hinted(
        thrown,
        "OVM_STATE_CONFLICT",
        `ovm stop ${name} ends it, ovm rm --force ${name} removes it as it is`,
      )
    })
    if (options.json) printJson({ instance_id: instance.instance_id })
    else print(`${instance.instance_id}\n`)
  }
  await forEach(names, remove, options)
}
