import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { attachTerminal, TerminalKeys, tellDetached } from "../../attach.ts"
import { endOf, refuseBadEnd } from "../../end.ts"
import { findInstance, hasLeft, waitFor } from "../../instances.ts"
import { onSignals } from "../../interrupt.ts"
import { isTerminal, printError } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"

/** Lines of what was on the console before, unless told. */
const BEFORE = 10

interface AttachCommandOptions {
  readonly tail: number
}

export function define(command: Command): void {
  command
    .description(
      "Join this terminal and a machine's serial console, both ways, until the machine ends. Every key goes to the " +
        "guest, but for two within a second: Ctrl-P Ctrl-Q, which detaches and leaves the machine running, and " +
        "Ctrl-C twice, which asks the guest to power off; once more kills the machine. One at a time is attached; " +
        "`ovm logs --follow` watches.\n" +
        "Exit status: 0 it was detached, or the guest powered off; 10 it reset its machine, 11 its kernel panicked; " +
        "what it handed back, if it did.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .addOption(
      command
        .createOption("-n, --tail <lines>", "begin with so many lines of what was on the console before")
        .argParser((text) => parseCount(text, "--tail", 0))
        .default(BEFORE),
    )
    .action(run)
  examples(command, "ovm attach web", "ovm attach --tail 100 3f2a")
}

async function run(text: string, { tail }: AttachCommandOptions): Promise<void> {
  if (!isTerminal("stdin") || !isTerminal("stdout"))
    throw new OvmError("OVM_USAGE", "standard input and output are not a terminal", {
      hint: `ovm logs --follow ${text}`,
    })
  const { runtime, instance: found } = await findInstance(text)
  const { instance_id, name } = found
  const instance = await waitFor(runtime, instance_id, ({ state }) => state !== "starting")
  if (instance.state === "paused") printError(`${name} is paused: ovm resume ${name}\n`)
  const left = new AbortController()
  let stops = 0
  const stop = () => {
    if (stops === 0) printError("\nStopping the machine; once more kills it.\n")
    const grace = stops++ === 0 ? {} : { grace_ms: 0 }
    // What becomes of it shows on the console, and in the status.
    runtime.stop({ instance_id, ...grace }).catch(() => {})
  }
  {
    using keyboard = new TerminalKeys(left, stop)
    // Whoever ends this process, or closes its terminal, means no harm to the machine.
    await onSignals(
      () => left.abort(),
      () => attachTerminal(runtime, instance, keyboard, tail),
    )
  }
  if (left.signal.aborted) return tellDetached(name)
  const info = await waitFor(runtime, instance_id, hasLeft(instance))
  printError(`${name} ${endOf(info)}\n`)
  refuseBadEnd(info, { asked: stops > 0 })
}
