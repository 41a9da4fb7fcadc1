import type { Command } from "commander"
import { digested } from "../../digits.ts"
import { examples } from "../../examples.ts"
import { explainUnknown, storeName } from "../../names.ts"
import { openStore } from "../../store.ts"

export function define(command: Command): void {
  command
    .description("Give an image on this host one more name. A name that stood for another image is moved.")
    .argument("<image>", "name of an image on this host, or its digest, or the start of that")
    .argument("<name>", "the further name")
    .action(run)
  examples(
    command,
    "ovm tag debian registry.example.com/machines/debian:13",
    "ovm tag 3f2a90bc11d8 debian:known-good",
  )
}

async function run(image: string, name: string): Promise<void> {
  const to = storeName(name)
  const known = await digested(image)
  await using store = await openStore()
  try {
    await store.tag(await store.resolve(known?.digest ?? storeName(image)), to)
  } catch (thrown) {
    throw explainUnknown(thrown, image)
  }
}
