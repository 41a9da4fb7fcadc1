import type { Command } from "commander"
import { machineBehind } from "../../../artifact/platforms/read.ts"
import type { Descriptor } from "../../../content/descriptor.ts"
import { OvmError } from "../../../errors.ts"
import type { Sealer } from "../../../signing/bundle/write.ts"
import type { Signer } from "../../../signing/interfaces.ts"
import { signLegacy } from "../../../signing/legacy/sign.ts"
import { sign } from "../../../signing/sign.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { openWritable, signedFor, type WritableSubject } from "../../place/subject.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { openSigner, type SignerOptions } from "../../signer.ts"
import { signerOptions } from "../../signer-options.ts"
import { examples } from "../../terminal/examples.ts"

interface SignCommandOptions extends SignerOptions, PlatformOption {
  readonly allPlatforms?: boolean
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
    .addOption(
      command
        .createOption("--all-platforms", "an index, and each of its machines by itself")
        .conflicts("platform"),
    )
  platformOption(command, "the index itself, which stands for all,")
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
  const { name, reference, made } = await interruptible(async (signal) => {
    await using subject = await openWritable(image, { ...options, signal })
    const targets = await targetsOf(subject, { ...options, signal })
    const made: Made[] = []
    for (const target of targets)
      made.push({
        target,
        ...(await signOne({ ...subject, target }, by, { ...options, annotations, signal })),
      })
    return { name: subject.name, reference: made[0]?.reference, made }
  })
  const [first] = made
  if (options.json)
    printJson({
      image: name,
      digest: first?.target.digest,
      signature: first?.manifest.digest,
      form: options.legacy ? "legacy" : "bundle",
      ...(reference !== undefined && { signed_for: reference }),
      ...(made.length > 1 && {
        machines: made.slice(1).map(({ target, manifest }) => ({
          digest: target.digest,
          signature: manifest.digest,
        })),
      }),
    })
  else print(made.map(({ target }) => `${target.digest}  ${name}  signed\n`).join(""))
}

interface Made {
  readonly target: Descriptor
  readonly manifest: Descriptor
  readonly reference?: string | undefined
}

/** The artifact that a name stands for, one machine of an index, or an index and all of its machines. */
async function targetsOf(
  { store, target }: WritableSubject,
  { platform, allPlatforms, signal }: SignCommandOptions & { readonly signal: AbortSignal },
): Promise<readonly Descriptor[]> {
  if (platform) return [(await machineBehind(store, target, { platform, signal })).target]
  if (!allPlatforms) return [target]
  const { machinesBehind } = await import("../../../images/behind.ts")
  const machines = await machinesBehind(store, target, { allPlatforms, signal })
  const others = machines.filter((one) => one.target.digest !== target.digest)
  return [target, ...others.map((one) => one.target)]
}

async function signOne(
  subject: WritableSubject,
  by: Signer | Sealer,
  options: SignCommandOptions & {
    readonly annotations: Readonly<Record<string, string>>
    readonly signal: AbortSignal
  },
): Promise<Omit<Made, "target">> {
  const { annotations, signal } = options
  const reference = signedFor(subject, options.reference)
  if (!options.legacy) {
    const said = { signal, annotations, ...(reference !== undefined && { reference }) }
    const manifest = await sign(subject.store, subject.target, by, said)
    await subject.added(manifest)
    return { manifest, reference }
  }
  if ("seal" in by) throw new OvmError("OVM_USAGE", "--legacy is for signatures by a key")
  const said = reference ?? subject.reference?.name ?? ""
  const manifest = await signLegacy(subject, subject.target, by, { reference: said, annotations, signal })
  return { manifest, reference: said }
}

function addAnnotation(annotations: Record<string, string>, text: string): void {
  const [, key = "", value = ""] = /^([^=]+)=(.*)$/s.exec(text) ?? []
  if (key === "" || key.startsWith("ovms."))
    throw new OvmError("OVM_USAGE", `${JSON.stringify(text)} is no annotation of one's own`, {
      hint: "-a key=value; names that start with ovms. are taken",
    })
  annotations[key] = value
}
