import type { Command } from "commander"
import { forEach } from "../../failure.ts"
import { findInstance } from "../../instances.ts"
import { print, printJson } from "../../output.ts"
import { defineTime, stopped } from "../../stop.ts"
import { examples } from "../../terminal/examples.ts"

interface StopOptions {
  readonly time?: number
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Ask machines to power off, and wait until they have ended. One that does not within --time is ended. Its disk is " +
      "kept: `ovm start` goes on with it.",
  )
  defineTime(command.argument("<instance...>", "id, start of an id, or name"))
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm stop web", "ovm stop --time 0 3f2a 91bc")
}

async function run(names: readonly string[], options: StopOptions): Promise<void> {
  const stop = async (name: string) => {
    const { runtime, instance } = await findInstance(name)
    const { state, stop_method } = await stopped(runtime, instance, options.time)
    const { instance_id } = instance
    if (options.json) printJson({ instance_id, status: state, ...(stop_method && { stop_method }) })
    else print(`${instance_id}\n`)
  }
  await forEach(names, stop, options)
}
