import type { Command } from "commander"
import { paths } from "../../../host/paths.ts"
import { subjectsOf } from "../../../images/along.ts"
import { nameEvidence } from "../../../images/evidence.ts"
import { giveNames } from "../../../images/take-in.ts"
import { parseReference } from "../../../registry/reference.ts"
import { digested } from "../../digits.ts"
import { explainUnknown, storeName } from "../../names.ts"
import { printJson } from "../../output.ts"
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
  try {
    const { digest } = await giveNames(paths(), { durable: true }, async (store) => {
      const from = known?.digest ?? storeName(image)
      const target = await store.resolve(from)
      await store.tag(target, to)
      const first = known ? undefined : parseReference(from).name
      await nameEvidence(store, await subjectsOf(store, target, {}), parseReference(to).name, first)
      return target
    })
    if (options.json) printJson({ reference: to, digest })
  } catch (thrown) {
    throw explainUnknown(thrown, image)
  }
}
