import type { Command } from "commander"
import { digested } from "../../digits.ts"
import { explainUnknown, storeName } from "../../names.ts"
import { printJson } from "../../output.ts"
import { openStore } from "../../store.ts"
import { examples } from "../../terminal/examples.ts"

interface TagOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Give an image on this host one more name. A name that stood for another image is moved.")
    .argument("<image>", "name of an image on this host, or its digest, or the start of that")
    .argument("<name>", "the further name")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm tag debian registry.example.com/machines/debian:13",
    "ovm tag 3f2a90bc11d8 debian:known-good",
  )
}

async function run(image: string, name: string, options: TagOptions): Promise<void> {
  const to = storeName(name)
  const known = await digested(image)
  await using store = await openStore()
  try {
    const target = await store.resolve(known?.digest ?? storeName(image))
    await store.tag(target, to)
    if (options.json) printJson({ reference: to, digest: target.digest })
  } catch (thrown) {
    throw explainUnknown(thrown, image)
  }
}
