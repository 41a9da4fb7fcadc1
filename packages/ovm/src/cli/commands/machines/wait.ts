import type { Command } from "commander"
import { hasEnded } from "../../../runtime/states.ts"
import { endWord, refuseBadEnd } from "../../end.ts"
import { forEach } from "../../failure.ts"
import { findInstance, isRestarting, waitFor } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

export function define(command: Command): void {
  command
    .description(
      "Wait until machines have ended, and print how each did: `guest-shutdown`, `quit`, `result 3`, or another reason; " +
        "of one that was never started, its state.\n" +
        "Exit status: as that of `ovm run`, 0 the guest powered off or was asked to, 10 it reset its machine, 11 its " +
        "kernel panicked, what it handed back if it did.",
    )
    .argument("<instance...>", "id, start of an id, or name")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm wait build && ovm rm build")
}

async function run(names: readonly string[], options: { readonly json?: boolean }): Promise<void> {
  const wait = async (text: string) => {
    const { runtime, instance } = await findInstance(text)
    const { instance_id } = instance
    const ended = await interruptible((signal) =>
      waitFor(runtime, instance_id, (info) => hasEnded(info.state) && !isRestarting(info), { signal }),
    )
    const { name, state, exit } = ended
    if (options.json) printJson({ instance_id, name, status: state, ...(exit && { exit }) })
    else print(`${endWord(ended) ?? state}\n`)
    refuseBadEnd(ended)
  }
  await forEach(names, wait, options)
}
