import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import type { CommitAnswer, InstanceInfo, Runtime } from "../../../runtime/interfaces.ts"
import { nameFor } from "../../digits.ts"
import { hinted } from "../../hinted.ts"
import { findInstance } from "../../instances.ts"
import { interruptible } from "../../interrupt.ts"
import { isUnknown, storeName } from "../../names.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface CommitOptions {
  readonly tag: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make an image of a machine that is stopped or paused: the one that it was started from, with what its guest has " +
        "written since as one more layer. Prints the image's digest. What is in its memory is not part of it; `ovm " +
        "snapshot` keeps that too. Of the name of a snapshot it makes an image with that one's disk and without its " +
        "memory: a machine that boots.",
    )
    .argument("<instance>", "id, start of an id, or name; or name of a snapshot on this host")
    .requiredOption("-t, --tag <name>", "what to call the image; a name that stood for another one is moved")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm stop web && ovm commit web --tag registry.example.com/machines/web:2",
    "ovm commit debian:warm --tag debian:set-up",
  )
}

async function run(text: string, { tag, json }: CommitOptions): Promise<void> {
  const name = storeName(tag)
  const made = await madeOf(text, name)
  if (json) printJson(made)
  else print(`${made.digest}\n`)
}

/** An instance goes first, as everywhere. */
async function madeOf(text: string, name: string): Promise<CommitAnswer> {
  try {
    return await ofInstance(await findInstance(text), text, name)
  } catch (thrown) {
    if (!(thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN")) throw thrown
    return await ofSnapshot(text, name, thrown)
  }
}

async function ofInstance(
  { runtime, instance }: { readonly runtime: Runtime; readonly instance: InstanceInfo },
  text: string,
  name: string,
): Promise<CommitAnswer> {
  return await interruptible((signal) => runtime.commit(instance.instance_id, { name }, { signal })).catch(
    (thrown) => {
      const how = `ovm stop ${text}, or ovm pause ${text}, and then commit it`
      throw instance.state === "running" ? hinted(thrown, "OVM_STATE_CONFLICT", how) : thrown
    },
  )
}

/** All of it is the store's business; `unknown` is what is said where there is no such name either. */
async function ofSnapshot(text: string, name: string, unknown: OvmError): Promise<CommitAnswer> {
  const { commitSnapshot } = await import("../../../images/commit-snapshot.ts")
  const { takeIn } = await import("../../../images/take-in.ts")
  try {
    const reference = storeName(await nameFor(text))
    return await interruptible((signal) =>
      takeIn(paths(), { durable: true }, async (store) => {
        const { descriptor, size } = await commitSnapshot(store, reference, { signal })
        await store.tag(descriptor, name, { signal })
        return { reference: name, digest: descriptor.digest, size }
      }),
    )
  } catch (thrown) {
    const none = isUnknown(thrown) || (thrown instanceof OvmError && thrown.code === "OVM_REFERENCE_INVALID")
    if (!none) throw thrown
    throw new OvmError(unknown.code, `${unknown.message}, and no snapshot of that name`, {
      cause: thrown,
      hint: "ovm ps --all; ovm images --type snapshot",
    })
  }
}
