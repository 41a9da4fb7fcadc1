import type { Command } from "commander"
import { hinted } from "../../hinted.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { storeName } from "../../names.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface CommitOptions {
  readonly tag: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make an image of a machine that is stopped or paused: the one that it was started from, with what its guest has " +
        "written since as one more layer. Prints the image's digest. What is in its memory is not part of it; `ovm " +
        "snapshot` keeps that too.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .requiredOption("-t, --tag <name>", "what to call the image; a name that stood for another one is moved")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm stop web && ovm commit web --tag registry.example.com/machines/web:2")
}

async function run(text: string, { tag, json }: CommitOptions): Promise<void> {
  const name = storeName(tag)
  const { runtime, instance } = await findInstance(text)
  const made = await interruptible((signal) =>
    runtime.commit(instance.instance_id, { name }, { signal }),
  ).catch((thrown) => {
    const how = `ovm stop ${text}, or ovm pause ${text}, and then commit it`
    throw instance.state === "running" ? hinted(thrown, "OVM_STATE_CONFLICT", how) : thrown
  })
  if (json) printJson(made)
  else print(`${made.digest}\n`)
}
