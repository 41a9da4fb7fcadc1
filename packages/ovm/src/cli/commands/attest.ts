import { readFile } from "node:fs/promises"
import type { Command } from "commander"
import { readJson } from "../../artifact/json.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { attest } from "../../signing/attest.ts"
import { attestLegacy } from "../../signing/legacy/sign.ts"
import { ATTESTATION_LIMIT } from "../../signing/limits.ts"
import { predicateType } from "../../signing/predicates.ts"
import { examples } from "../examples.ts"
import { interruptible } from "../interrupt.ts"
import { print, printJson } from "../output.ts"
import { openSigner, type SignerOptions } from "../signer.ts"
import { signerOptions } from "../signer-options.ts"
import { openWritable } from "../subject.ts"

interface AttestOptions extends SignerOptions {
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
      "Say something about an image over a signature: a list of its parts, where it comes from, what was found in it.",
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
    .option("--json", "print JSON")
    .action(run)
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
  const { subject, manifest } = await interruptible(async (signal) => {
    await using subject = await openWritable(image, { ...options, signal })
    const reference = options.reference ?? (subject.reference?.host && subject.reference.name)
    const attestation = { predicateType: type, predicate, ...(reference !== undefined && { reference }) }
    if (options.legacy) {
      if ("seal" in by) throw new OvmError("OVM_USAGE", "--legacy is for attestations by a key")
      return { subject, manifest: await attestLegacy(subject, subject.target, attestation, by, { signal }) }
    }
    const manifest = await attest(subject.store, subject.target, attestation, by, { signal })
    await subject.added(manifest)
    return { subject, manifest }
  })
  const { name, target } = subject
  if (options.json)
    printJson({ image: name, digest: target.digest, predicate_type: type, attestation: manifest.digest })
  else print(`${target.digest}  ${name}  ${type}\n`)
}

async function readPredicate(path: string): Promise<unknown> {
  const bytes = await readFile(path).catch((thrown: unknown) => {
    throw toOvmError(thrown)
  })
  const result = readJson(bytes, { bytes: ATTESTATION_LIMIT })
  if ("fault" in result) throw new OvmError("OVM_USAGE", `${path}: ${result.fault.message}`)
  return result.value
}
