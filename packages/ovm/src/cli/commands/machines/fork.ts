import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { findInstance, waitFor } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"

interface ForkOptions {
  readonly count: number
  readonly name?: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make further machines of one that runs, its children: each goes on from this very moment, with its memory " +
        "and what it wrote to its disk, and so does the machine itself. Nothing is stored or copied: children share " +
        "what they had in common. Each has a network and ports of its own, and commands in it find its number, " +
        "from 0, in OVMS_FORK_INDEX. Prints their ids once they run.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .option("-n, --count <count>", "how many", (text) => parseCount(text, "--count", 1, 100), 1)
    .option("--name <prefix>", "call them PREFIX-0, PREFIX-1 and so on; chosen unless given")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm fork web", "ovm fork worker -n 10 --name job", "ovm exec job-3 env")
}

async function run(text: string, { count, name, json }: ForkOptions): Promise<void> {
  const answer = await interruptible(async (signal) => {
    const { runtime, instance } = await findInstance(text)
    const request = { count, ...(name !== undefined && { name }) }
    const answer = await runtime.fork(instance.instance_id, request, { signal })
    for (const { instance_id } of answer.instances) {
      const info = await waitFor(runtime, instance_id, ({ state }) => state !== "starting", { signal })
      if (info.error) throw new OvmError(info.error.code, `${info.name}: ${info.error.message}`)
    }
    return answer
  })
  if (json) printJson(answer)
  else print(answer.instances.map(({ instance_id }) => `${instance_id}\n`).join(""))
}
