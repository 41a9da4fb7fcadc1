import type { Command } from "commander"
import { parsePublicKey } from "../../../../signing/keys/public.ts"
import { print, printJson } from "../../../output.ts"
import { openKey } from "../../../signer.ts"
import { examples } from "../../../terminal/examples.ts"

interface PublicOptions {
  readonly key: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description("Print the public half of a key: of a file, or of one that a signer program has access to.")
    .requiredOption(
      "--key <file>",
      "private key: a file of Cosign's or PKCS#8, or plugin:NAME/KEY for ovm-signer-NAME",
    )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm key public --key cosign.key > cosign.pub")
}

async function run({ key, json }: PublicOptions): Promise<void> {
  const { pem, id, algorithm } = parsePublicKey(await (await openKey(key)).publicKey(), key)
  if (json) printJson({ key_id: id, algorithm, public_key: pem })
  else print(pem)
}
