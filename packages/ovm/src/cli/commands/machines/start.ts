import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { isPath } from "../../../registry/reference.ts"
import { useDaemon } from "../../daemon.ts"
import { nameFor } from "../../digits.ts"
import { forEach } from "../../failure.ts"
import { hinted } from "../../hinted.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { launch, launchAgain, type Up } from "../../launch.ts"
import { defineMachineOptions, type MachineOptions } from "../../machine-options.ts"
import { isUnknown } from "../../names.ts"
import { print, printJson } from "../../output.ts"
import { pullByPolicy } from "../../pull-policy.ts"
import { examples } from "../../terminal/examples.ts"

interface StartOptions extends MachineOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Start machines again that have ended, each with its disk as its guest left it, and print their ids once they " +
      "run; `ovm logs --previous` has what they wrote before. What is the name of no machine is taken for an image on this host, which makes a new one, as " +
      "`ovm run --detach` does; only that one can be told how it is to be with options.",
  )
  defineMachineOptions(command.argument("<instance...>", "id, start of an id, or name; or one image"))
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm start web", "ovm start --name web --memory 1GiB --cpus 2 debian:13")
}

async function run(texts: readonly string[], options: StartOptions): Promise<void> {
  const { json, ...machine } = options
  const say = (up: Up) => (json ? printJson(up) : print(`${up.instance_id}\n`))
  const [only = "", ...others] = texts
  const told = Object.keys(machine).length > 0
  if (others.length > 0 && told)
    throw new OvmError("OVM_USAGE", "options say how one new machine is to be", { hint: "ovm run --detach" })
  if (others.length === 0 && (told || isPath(only) || !(await isInstance(only))))
    return say(
      await startImage(only, machine).catch(async (thrown: unknown) => {
        throw await inPlaceOf(only, thrown)
      }),
    )
  await forEach(
    texts,
    async (text) => {
      const { runtime, instance } = await findInstance(text)
      const { instance_id, state } = instance
      say(
        await interruptible((signal) => launchAgain(runtime, instance_id, { signal })).catch((thrown) => {
          throw state === "paused" ? hinted(thrown, "OVM_STATE_CONFLICT", `ovm resume ${text}`) : thrown
        }),
      )
    },
    { json: json === true },
  )
}

/** Whoever meant a machine is told so too. */
async function inPlaceOf(text: string, thrown: unknown): Promise<unknown> {
  if (!isUnknown(thrown) || isPath(text)) return thrown
  if (await isInstance(text))
    return new OvmError("OVM_USAGE", `${text} is a machine: options say how a new one is to be`, {
      cause: thrown,
      hint: `ovm start ${text}`,
    })
  return new OvmError(thrown.code, `${thrown.message}, and no machine of that name`, {
    cause: thrown,
    hint: `${thrown.hint}; ovm ps --all`,
  })
}

async function isInstance(text: string): Promise<boolean> {
  try {
    await findInstance(text)
    return true
  } catch (thrown) {
    if (thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN") return false
    throw thrown
  }
}

async function startImage(text: string, options: MachineOptions): Promise<Up> {
  const image = await nameFor(text)
  return await interruptible(async (signal) => {
    await pullByPolicy(image, "never", { signal })
    return launch(await useDaemon({ signal }), image, options, { signal })
  })
}
