import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { signLegacy } from "../../../signing/legacy/sign.ts"
import { sign } from "../../../signing/sign.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { openWritable, signedFor } from "../../place/subject.ts"
import { openSigner, type SignerOptions } from "../../signer.ts"
import { signerOptions } from "../../signer-options.ts"
import { examples } from "../../terminal/examples.ts"

interface SignCommandOptions extends SignerOptions {
  readonly legacy?: boolean
  readonly reference?: string
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  const annotations: Record<string, string> = {}
  command
    .description(
      "Sign an image where it is: a name with a host in its registry, a name without one or store:NAME on this " +
        "host, a path in its layout. Cosign verifies what this signs. The digest is signed, and the repository " +
        "that the signature is for.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
  signerOptions(command)
  command
    .option(
      "--legacy",
      "in Cosign's older form, under the tag sha256-….sig, for verifiers that know no bundles",
    )
    .option(
      "--reference <name>",
      "the repository, perhaps with a tag, that it is for; the image's own unless told",
    )
    .option("-a, --annotation <key=value>", "more that is signed with it", (text) =>
      addAnnotation(annotations, text),
    )
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action((image: string, options: SignCommandOptions) => run(image, options, annotations))
  examples(
    command,
    "ovm key generate",
    "ovm sign --key cosign.key registry.example.com/machines/debian:13",
    "ovm sign --key plugin:pkcs11/token1 debian:13",
  )
}

async function run(
  image: string,
  options: SignCommandOptions,
  annotations: Readonly<Record<string, string>>,
): Promise<void> {
  const by = await openSigner(options)
  const done = await interruptible(async (signal) => {
    await using subject = await openWritable(image, { ...options, signal })
    const reference = signedFor(subject, options.reference)
    if (!options.legacy) {
      const manifest = await sign(subject.store, subject.target, by, {
        signal,
        annotations,
        ...(reference !== undefined && { reference }),
      })
      await subject.added(manifest)
      return { subject, manifest, reference }
    }
    if ("seal" in by) throw new OvmError("OVM_USAGE", "--legacy is for signatures by a key")
    const said = reference ?? subject.reference?.name ?? ""
    const manifest = await signLegacy(subject, subject.target, by, { reference: said, annotations, signal })
    return { subject, manifest, reference: said }
  })
  const { name, target } = done.subject
  if (options.json)
    printJson({
      image: name,
      digest: target.digest,
      signature: done.manifest.digest,
      form: options.legacy ? "legacy" : "bundle",
      ...(done.reference !== undefined && { signed_for: done.reference }),
    })
  else print(`${target.digest}  ${name}  signed\n`)
}

function addAnnotation(annotations: Record<string, string>, text: string): void {
  const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (key === "" || key.startsWith("ovms."))
    throw new OvmError("OVM_USAGE", `${JSON.stringify(text)} is no annotation of one's own`, {
      hint: "-a key=value; names that start with ovms. are taken",
    })
  annotations[key] = value
}
