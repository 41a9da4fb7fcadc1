import type { Command } from "commander"
import { forEach } from "./failure.ts"
import { findInstance } from "./instances.ts"
import { print, printJson } from "./output.ts"

/** `ovm pause` and `ovm resume`: the same of several machines. */
export function defineSetGuest(command: Command, what: "pause" | "resume"): Command {
  return command
    .argument("<instance...>", "id, start of an id, or name")
    .option("--json", "print JSON")
    .action((names: readonly string[], { json }: { readonly json?: boolean }) =>
      forEach(
        names,
        async (name) => {
          const { runtime, instance } = await findInstance(name)
          const { instance_id } = instance
          const answer = await runtime[what](instance_id)
          if (json) printJson({ instance_id, ...answer })
          else print(`${instance_id}\n`)
        },
        { json: json === true },
      ),
    )
}
