import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import {
  defineExecOptions,
  type ExecOptions,
  endAsInside,
  execRequest,
  insideBy,
  STATUSES,
} from "../../exec-options.ts"
import { runInside } from "../../inside.ts"
import { findInstance } from "../../instances.ts"
import { examples } from "../../terminal/examples.ts"

export function define(command: Command): void {
  command
    .description(
      "Run a command inside a machine that was started with --agent, as root and in / unless told otherwise. Its " +
        "output and errors are this command's; a Ctrl-C is passed on to it, and the second one kills it.\n" +
        `Exit status: ${STATUSES}`,
    )
    .argument("<instance>", "id, start of an id, or name")
    .argument("<command...>", "the program and its arguments")
  defineExecOptions(command, "60").passThroughOptions().action(run)
  examples(
    command,
    "ovm exec web uname -r",
    "ovm exec -it web sh",
    "ovm exec -i web sh -c 'cat > /etc/motd' <motd",
  )
}

async function run(text: string, words: readonly string[], options: ExecOptions): Promise<void> {
  await endAsInside(async () => {
    const how = insideBy(options)
    const request = execRequest(withoutDashes(words), options)
    const { runtime, instance } = await findInstance(text)
    return await runInside(runtime, instance.instance_id, request, how)
  }, options)
}

/** A `--` before the command is taken away, as by kubectl: it separates what is not mixed up here anyway. */
function withoutDashes(words: readonly string[]): readonly string[] {
  const command = words[0] === "--" ? words.slice(1) : words
  if (command.length === 0) throw new OvmError("OVM_USAGE", "there is no command after --")
  return command
}
