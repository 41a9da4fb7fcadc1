import type { Command } from "commander"
import { paths } from "../../../../host/paths.ts"
import { takeIn } from "../../../../images/take-in.ts"
import { interruptible } from "../../../interrupt.ts"
import { storeName } from "../../../names.ts"
import { examples } from "../../../terminal/examples.ts"
import { entriesOf, makeIndex, printMade } from "./make.ts"

interface CreateOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make an index of images on this host, each for a platform of its own, which is what its manifest says. The " +
        "same images give the same index.",
    )
    .argument("<name>", "name of the index; one that stood for another image is moved")
    .argument("<image...>", "names of images on this host, or their digests, or the start of these")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm index create registry.example.com/machines/debian:13 debian:13-amd64 debian:13-arm64",
    "ovm push registry.example.com/machines/debian:13",
  )
}

async function run(name: string, images: readonly string[], options: CreateOptions): Promise<void> {
  const reference = storeName(name)
  const made = await interruptible((signal) =>
    takeIn(paths(), { durable: true }, async (store) =>
      makeIndex(store, reference, await entriesOf(store, images, { signal }), { signal }),
    ),
  )
  printMade(made, options)
}
