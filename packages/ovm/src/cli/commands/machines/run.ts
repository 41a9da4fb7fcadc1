import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { dropTyped } from "../../../host/libc.ts"
import type { InstanceInfo, Runtime } from "../../../runtime/interfaces.ts"
import { attachTerminal, TerminalKeys, tellDetached } from "../../attach.ts"
import { printConsole, showConsole } from "../../console.ts"
import { useDaemon } from "../../daemon.ts"
import { nameFor } from "../../digits.ts"
import { endOf } from "../../end.ts"
import { defineExecOptions, type ExecOptions, endAsInside, mainCommand } from "../../exec-options.ts"
import { printExplanation } from "../../explain.ts"
import { isRestarting } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { removed, tellKept } from "../../kept.ts"
import { launch } from "../../launch.ts"
import { defineMachineOptions, type MachineOptions, startRequest } from "../../machine-options.ts"
import { isTerminal, print, printError, printJson } from "../../output.ts"
import { PULL_POLICIES, type PullPolicy, pullByPolicy, pullCall } from "../../pull-policy.ts"
import { refuseExecOptions, runCommand } from "../../run-command.ts"
import { examples } from "../../terminal/examples.ts"
import { optionsUntil } from "../../terminal/options-until.ts"

interface RunOptions extends MachineOptions, ExecOptions {
  readonly detach?: boolean
  readonly explain?: boolean
  readonly pull: PullPolicy
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Start a machine from an image, pulling it if it is not on this host, and show its console until it ends. On a " +
      "terminal every key goes to the guest, as with `ovm attach`: Ctrl-P Ctrl-Q detaches, Ctrl-C twice asks the " +
      "guest to power off. Elsewhere the first Ctrl-C does that. The next one kills the machine. With --detach the " +
      "machine is left running, and the instance's id is printed once it runs. A daemon is started if none answers.\n" +
      "With a command the machine has an agent that runs it, the console is kept aside, and the machine is stopped when " +
      "the command has ended: `ovm exec --help` says how the two are. With --detach as well nobody waits for it: its " +
      "output is on the console, and its exit status the machine's result.\n" +
      "Exit status: 0 the guest powered off or was asked to, 10 it reset its machine, 11 its kernel panicked; " +
      "1 to 127, what it handed back by the port 0x501 (`ovm wait` tells which it was); with a command that of " +
      "`ovm exec`.",
  )
  command
    .argument("<image>", "name of an image, or path of a manifest file, OCI layout or archive")
    .argument("[command...]", "a program inside the machine and its arguments, in place of the console")
  command.option("-d, --detach", "leave the machine running and print the instance's id")
  command.option(
    "--explain",
    "start nothing: say what would be booted or gone on from, by which VMM, and why",
  )
  defineMachineOptions(command)
    .addOption(
      command
        .createOption("--pull <when>", "copy the image from its registry")
        .choices(PULL_POLICIES)
        .default("missing"),
    )
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print the id, or what --explain says, as JSON; with one of these")
    .action(run)
  defineExecOptions(command, "300")
  optionsUntil(command, 2)
  examples(
    command,
    "ovm run registry.example.com/machines/debian:13",
    "ovm run --detach --name web --memory 1GiB --cpus 2 debian:13",
    "ovm run --rm ./layout",
    "ovm run --rm debian:13 uname -a",
    "ovm run --explain debian:13",
  )
}

async function run(text: string, words: readonly string[], options: RunOptions): Promise<void> {
  if (words.length > 0 && options.detach)
    return await runDetached(await nameFor(text), { ...options, exec: mainCommand(words, options) })
  if (words.length > 0) return await endAsInside(() => runCommand(text, words, options), options)
  refuseExecOptions(options)
  const image = await nameFor(text)
  if (options.explain) return await explainRun(image, options)
  if (options.detach) return runDetached(image, options)
  if (options.json)
    throw new OvmError(
      "OVM_USAGE",
      "option '--json' needs '--detach': without it the guest's console is printed",
      {
        hint: "ovm run --detach --json, then ovm logs --follow",
      },
    )
  const { runtime, id } = await interruptible(async (signal) => {
    await pullByPolicy(image, options.pull, pullCall(options, signal))
    const runtime = await useDaemon({ signal })
    return {
      runtime,
      id: (await runtime.start(await startRequest(image, options), { signal })).instance_id,
    }
  })
  const info = await showUntilEnd(runtime, id, options).finally(() => {
    // What somebody typed at a console is no command, whether the guest got it or not. What is typed once it is said
    // what became of the machine is one.
    if (isTerminal("stdin")) dropTyped(0)
  })
  if (!info) tellDetached((await runtime.status(id)).name)
  else if (options.rm) printError(`${info.name} ${endOf(info)}\n`)
  else tellKept(info.name)
}

/** Undefined if it was left running. Throws what showConsole throws; removes it if that is asked for. */
async function showUntilEnd(runtime: Runtime, id: string, { rm }: RunOptions) {
  const left = new AbortController()
  try {
    return await showOnTerminal(runtime, id, left)
  } catch (thrown) {
    if (!left.signal.aborted) throw thrown
    return undefined
  } finally {
    if (rm && !left.signal.aborted) await removed(runtime, id)
  }
}

/** On a terminal both ways. Throws what showConsole throws, and something once `left` was aborted. */
async function showOnTerminal(runtime: Runtime, id: string, left: AbortController) {
  if (!isTerminal("stdin") || !isTerminal("stdout")) return await showConsole(runtime, id)
  // As Ctrl-C did while nobody could type.
  const stop = () => void process.kill(process.pid, "SIGINT")
  // Between two lives as well: whoever waits for the next one can leave, or have none.
  using keyboard = new TerminalKeys(left, stop)
  const show = async (info: InstanceInfo) => {
    // The keyboard stays ours between two lives.
    if (isRestarting(info)) return await printConsole(runtime, info)
    await attachTerminal(runtime, info, keyboard).catch((thrown) => {
      // It may have ended by now, be somebody else's to type into, or have no input: it can be watched all the same.
      if (!isRefusal(thrown)) throw thrown
      keyboard.release()
      return printConsole(runtime, info)
    })
    left.signal.throwIfAborted()
  }
  return await showConsole(runtime, id, {
    show,
    between: () => keyboard.take(),
    signal: left.signal,
  })
}

function isRefusal(thrown: unknown): boolean {
  return thrown instanceof OvmError && ["OVM_STATE_CONFLICT", "OVM_UNSUPPORTED"].includes(thrown.code)
}

async function explainRun(image: string, options: RunOptions): Promise<void> {
  await interruptible(async (signal) => {
    await pullByPolicy(image, options.pull, pullCall(options, signal))
    const runtime = await useDaemon({ signal })
    printExplanation(await runtime.explain(await startRequest(image, options), { signal }), options)
  })
}

async function runDetached(image: string, options: RunOptions): Promise<void> {
  const answer = await interruptible(async (signal) => {
    await pullByPolicy(image, options.pull, pullCall(options, signal))
    return launch(await useDaemon({ signal }), image, options, { signal })
  })
  if (options.json) printJson(answer)
  else print(`${answer.instance_id}\n`)
}
