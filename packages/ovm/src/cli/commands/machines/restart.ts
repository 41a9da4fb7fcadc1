import type { Command } from "commander"
import { forEach } from "../../failure.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { relaunch } from "../../launch.ts"
import { print, printJson } from "../../output.ts"
import { defineTime } from "../../stop.ts"
import { examples } from "../../terminal/examples.ts"

interface RestartOptions {
  readonly time?: number
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Stop machines as `ovm stop` does, and start them again with their disks; those that have ended are only started. " +
      "What keeps one from being started is said before it is stopped. Once begun, the daemon sees it through.",
  )
  defineTime(command.argument("<instance...>", "id, start of an id, or name"))
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm restart web", "ovm restart --time 60 web db")
}

async function run(names: readonly string[], options: RestartOptions): Promise<void> {
  const restart = async (name: string) => {
    const { runtime, instance } = await findInstance(name)
    const grace = options.time === undefined ? {} : { graceMs: options.time * 1000 }
    const up = await interruptible((signal) => relaunch(runtime, instance.instance_id, { ...grace, signal }))
    if (options.json) printJson(up)
    else print(`${up.instance_id}\n`)
  }
  await forEach(names, restart, options)
}
