import type { Command } from "commander"
import { examples } from "../../examples.ts"
import { explainUnknown, storeName } from "../../names.ts"
import { openStore } from "../../store.ts"

export function define(command: Command): void {
  command
    .description("Give an image on this host one more name. A name that stood for another image is moved.")
    .argument("<image>", "name of an image on this host, or its digest")
    .argument("<name>", "the further name")
    .action(run)
  examples(command, "ovm tag debian registry.example.com/machines/debian:13")
}

async function run(image: string, name: string): Promise<void> {
  const to = storeName(name)
  await using store = await openStore()
  try {
    await store.tag(await store.resolve(storeName(image)), to)
  } catch (thrown) {
    throw explainUnknown(thrown, image)
  }
}
