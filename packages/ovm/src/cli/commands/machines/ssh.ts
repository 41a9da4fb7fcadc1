import type { Command } from "commander"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { parseCount } from "../../size.ts"
import { runSsh, type SshOptions } from "../../ssh/client.ts"
import { awaitServer, serverOf } from "../../ssh/server.ts"
import { examples } from "../../terminal/examples.ts"

/** Seconds. */
const PATIENCE = 60

interface SshCommandOptions extends SshOptions {
  readonly wait: number
}

export function define(command: Command): void {
  command
    .description(
      "Log in to a machine, or run a command in it, with the system's ssh. A machine of `ovm run --ssh` has a key and " +
        "a port for that; one with a port to its port 22 is reached by your own keys. The host key that a machine shows " +
        "first is the only one that is believed from then on.\n" +
        "Exit status: that of the command; 255 if ssh could not log in, 6 if no SSH server answers.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .argument("[command...]", "for the guest's shell; what looks like an option is the command's")
    .option("-l, --user <name>", "who logs in, in place of whom the machine was made for")
    .option("-t, --tty", "have a terminal in the guest, for a command as well")
    .addOption(
      command
        .createOption("--wait <seconds>", "how long to wait for the guest's SSH server")
        .argParser((text) => parseCount(text, "--wait", 0))
        .default(PATIENCE),
    )
    .passThroughOptions()
    .action(run)
  examples(command, "ovm ssh web", "ovm ssh web tail -n 20 /var/log/syslog", "tar c site | ovm ssh web tar x")
}

async function run(
  text: string,
  words: readonly string[],
  { wait, ...options }: SshCommandOptions,
): Promise<void> {
  const { runtime, instance } = await findInstance(text)
  const server = serverOf(instance)
  await interruptible((signal) => awaitServer(runtime, instance, server, { patienceMs: wait * 1000, signal }))
  process.exit(await runSsh(instance, server, words, options))
}
