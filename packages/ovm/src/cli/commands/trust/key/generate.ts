import type { Command } from "commander"
import { OvmError } from "../../../../errors.ts"
import { GENERATED, isGenerated } from "../../../../signing/keys/algorithms.ts"
import { generateKeyPair } from "../../../../signing/keys/generate.ts"
import { parsePublicKey } from "../../../../signing/keys/public.ts"
import { ask } from "../../../ask.ts"
import { writeKeyFile } from "../../../key-file.ts"
import { print, printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

interface GenerateOptions {
  readonly outputKeyPrefix: string
  readonly algorithm: string
  readonly force?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make a key pair: PREFIX.key, encrypted with the password in COSIGN_PASSWORD or asked for, and " +
        "PREFIX.pub. Both are what cosign generate-key-pair writes.",
    )
    .option("--output-key-prefix <prefix>", "path of both files without their endings", "cosign")
    .addOption(
      command
        .createOption("--algorithm <name>", "kind of key; Cosign verifies all but p256 with options only")
        .choices(Object.keys(GENERATED))
        .default("p256"),
    )
    .option("--force", "replace files that are there; a key that is replaced is lost")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm key generate", "COSIGN_PASSWORD=… ovm key generate --output-key-prefix release")
}

async function run(options: GenerateOptions): Promise<void> {
  const { outputKeyPrefix: prefix, algorithm, force = false } = options
  if (!isGenerated(algorithm)) throw new OvmError("OVM_USAGE", `${algorithm} is no kind of key`)
  const pair = await generateKeyPair(algorithm, process.env.COSIGN_PASSWORD ?? (await typed()))
  await writeKeyFile(`${prefix}.key`, pair.privateKey, 0o600, force)
  await writeKeyFile(`${prefix}.pub`, pair.publicKey, 0o644, force)
  const { id } = parsePublicKey(pair.publicKey, prefix)
  if (options.json) printJson({ private_key: `${prefix}.key`, public_key: `${prefix}.pub`, key_id: id })
  else print(`${id}  ${prefix}.key ${prefix}.pub\n`)
}

/** Twice: a key behind a slip of the finger is lost. */
async function typed(): Promise<string> {
  const enter = (prompt: string) =>
    ask(prompt, "COSIGN_PASSWORD is not set", "COSIGN_PASSWORD=… ovm key generate", true)
  const password = await enter("Password of the private key: ")
  if ((await enter("Again: ")) === password) return password
  throw new OvmError("OVM_USAGE", "the passwords are not the same")
}
