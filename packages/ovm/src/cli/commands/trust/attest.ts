import type { Command } from "commander"
import { readJson } from "../../../artifact/json.ts"
import { OvmError } from "../../../errors.ts"
import { ATTESTATION_LIMIT } from "../../../signing/limits.ts"
import { predicateType } from "../../../signing/predicates.ts"
import { readArgument } from "../../argument-file.ts"
import { attested } from "../../attested.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { openSigner, type SignerOptions } from "../../signer.ts"
import { signerOptions } from "../../signer-options.ts"
import { examples } from "../../terminal/examples.ts"

interface AttestOptions extends SignerOptions, PlatformOption {
  readonly type: string
  readonly predicate: string
  readonly legacy?: boolean
  readonly reference?: string
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Say something about an image over a signature: a list of its parts, where it comes from, what was found " +
        "in it.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .requiredOption(
      "--type <type>",
      "what is said: spdxjson, cyclonedx, slsaprovenance1, openvex, vuln, …, or a URI",
    )
    .requiredOption("--predicate <file>", "JSON document that says it")
  signerOptions(command)
  command
    .option("--legacy", "in Cosign's older form, under the tag sha256-….att")
    .option(
      "--reference <name>",
      "the repository, perhaps with a tag, that it is for; the image's own unless told",
    )
    .option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command).option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm attest --key cosign.key --type cyclonedx --predicate bom.json registry.example.com/machines/debian:13",
    "ovm verify --key cosign.pub --type cyclonedx registry.example.com/machines/debian:13",
  )
}

async function run(image: string, options: AttestOptions): Promise<void> {
  const type = predicateType(options.type)
  const predicate = await readPredicate(options.predicate)
  const by = await openSigner(options)
  const { name, target, manifest } = await interruptible((signal) =>
    attested(image, by, { ...options, predicateType: type, predicate, signal }),
  )
  if (options.json)
    printJson({ image: name, digest: target.digest, predicate_type: type, attestation: manifest.digest })
  else print(`${target.digest}  ${name}  ${type}\n`)
}

async function readPredicate(path: string): Promise<unknown> {
  const bytes = await readArgument(path, ATTESTATION_LIMIT)
  const result = readJson(bytes, { bytes: ATTESTATION_LIMIT })
  if ("fault" in result) throw new OvmError("OVM_USAGE", `${path}: ${result.fault.message}`)
  return result.value
}
