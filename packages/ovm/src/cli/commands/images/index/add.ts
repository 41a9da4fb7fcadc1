import type { Command } from "commander"
import { machinesIn } from "../../../../artifact/platforms/machines.ts"
import { isIndex, readMachineIndex } from "../../../../artifact/platforms/read.ts"
import { withMachines } from "../../../../artifact/platforms/write.ts"
import { OvmError } from "../../../../errors.ts"
import { paths } from "../../../../host/paths.ts"
import { takeIn } from "../../../../images/take-in.ts"
import { interruptible } from "../../../interrupt.ts"
import { explainUnknown, storeName } from "../../../names.ts"
import { examples } from "../../../terminal/examples.ts"
import { entriesOf, makeIndex, printMade } from "./make.ts"

interface AddOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Put further images into an index on this host, each in the place of the one for its platform, if there is " +
        "one. The name then stands for the new index.",
    )
    .argument("<name>", "name of an index on this host")
    .argument("<image...>", "names of images on this host, or their digests, or the start of these")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm index add debian:13 debian:13-arm64")
}

async function run(name: string, images: readonly string[], options: AddOptions): Promise<void> {
  const reference = storeName(name)
  const made = await interruptible((signal) =>
    takeIn(paths(), { durable: true }, async (store) => {
      const call = { signal }
      const target = await store.resolve(reference, call).catch((thrown: unknown) => {
        throw explainUnknown(thrown, name)
      })
      if (!isIndex(target)) throw noIndex(reference)
      const machines = machinesIn(await readMachineIndex(store, target, call))
      const added = await entriesOf(store, images, call)
      return await makeIndex(store, reference, withMachines(machines, added), call)
    }),
  )
  printMade(made, options)
}

function noIndex(reference: string): OvmError {
  return new OvmError("OVM_UNSUPPORTED", `${reference} is no index`, {
    detail: [{ pointer: "/manifests", reason: "not an index" }],
    hint: `ovm index create NAME ${reference} IMAGE`,
  })
}
