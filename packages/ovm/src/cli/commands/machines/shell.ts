import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { endWith } from "../../failure.ts"
import { runInside } from "../../inside.ts"
import { findInstance } from "../../instances.ts"
import { isTerminal } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

/** The best shell that the guest has, at its user's home. */
const SHELL = 'cd "$HOME" 2>/dev/null; if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi'

interface ShellOptions {
  readonly user?: string
}

export function define(command: Command): void {
  command
    .description(
      "Open a shell inside a machine that was started with --agent, on this terminal. Its end is this command's, " +
        "with its exit status.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .option("-u, --user <user[:group]>", "as this user of the guest, by name or number")
    .action(run)
  examples(command, "ovm shell web", "ovm shell -u nobody web")
}

async function run(text: string, { user }: ShellOptions): Promise<void> {
  if (!isTerminal("stdin") || !isTerminal("stdout"))
    throw new OvmError("OVM_USAGE", "standard input and output are not a terminal", {
      hint: `ovm exec -i ${text} sh`,
    })
  const request = { command: ["/bin/sh", "-c", SHELL], ...(user !== undefined && { user }) }
  const { runtime, instance } = await findInstance(text)
  endWith(
    (await runInside(runtime, instance.instance_id, request, { input: true, terminal: true })).exit_code,
  )
}
