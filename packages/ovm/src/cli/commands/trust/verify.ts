import type { Command } from "commander"
import { machineBehind } from "../../../artifact/platforms/read.ts"
import type { Verdict } from "../../../signing/interfaces.ts"
import { predicateType } from "../../../signing/predicates.ts"
import { verifiedThrough } from "../../../signing/through-index.ts"
import { type AuthorityOptions, namedAuthorities } from "../../authorities.ts"
import { authorityOptions } from "../../authority-options.ts"
import { interruptible } from "../../interrupt.ts"
import { printJson } from "../../output.ts"
import { openSubject } from "../../place/subject.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { examples } from "../../terminal/examples.ts"
import { printLines } from "../../terminal/lines.ts"

interface VerifyOptions extends AuthorityOptions, PlatformOption {
  readonly type?: string
  readonly reference?: string
  readonly anyReference?: boolean
  readonly all?: boolean
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Verify that an image is signed, or attested with --type, by one of the keys or by an identity: with " +
        "Cosign in either of its forms, or by ovm sign. The first valid signature is enough. Nothing of the image " +
        "itself is fetched.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout or archive")
  const keys = authorityOptions(command)
  command
    .option(
      "--type <type>",
      "an attestation of this type in place of a signature: spdxjson, cyclonedx, …, or a URI",
    )
    .option(
      "--reference <name>",
      "the repository that it has to be signed for, where it says; the image's own unless told",
    )
    .option("--any-reference", "signed for whatever repository: of copies")
    .option("--all", "go on after the first, and show what was refused as well")
    .option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command, "the index itself")
    .option("--json", "print JSON, of attestations with what they say")
    .action((image: string, options: Omit<VerifyOptions, "keys">) => run(image, { ...options, keys }))
  examples(
    command,
    "ovm verify --key cosign.pub registry.example.com/machines/debian:13",
    "ovm verify --key cosign.pub --type cyclonedx --json registry.example.com/machines/debian:13",
    "ovm verify --trusted-root root.json --certificate-identity builder@example.com " +
      "--certificate-oidc-issuer https://accounts.example.com registry.example.com/machines/debian:13",
  )
}

async function run(image: string, options: VerifyOptions): Promise<void> {
  const authorities = await namedAuthorities(options)
  const type = options.type === undefined ? undefined : predicateType(options.type)
  const { name, digest, findings } = await interruptible(async (signal) => {
    await using subject = await openSubject(image, { ...options, signal })
    const { platform } = options
    const found = platform
      ? await machineBehind(subject.evidence, subject.target, { platform, signal })
      : { target: subject.target }
    const own = subject.reference?.host === undefined ? undefined : subject.reference.toString()
    const expected = options.anyReference ? undefined : (options.reference ?? own)
    const findings = await verifiedThrough(
      { ...subject, ...found },
      {
        authorities,
        signal,
        all: options.all ?? false,
        ...(type !== undefined && { predicateType: type }),
        ...(expected !== undefined && { expected }),
      },
    )
    return { name: subject.name, digest: found.target.digest, findings }
  })
  if (options.json) printJson({ image: name, digest, verdicts: findings.map(model) })
  else printLines([`${digest}  ${name}`, ...findings.map(line)])
}

function line({ status, evidence, signatory, signedReference, signedAt, reason }: Verdict): string {
  const who = signatory?.kind === "key" ? `key ${signatory.keyId}` : signatory?.identity
  return [
    `  ${status}`,
    evidence.kind === "signature" ? "signature" : evidence.predicateType,
    ...(who === undefined ? [] : [`by ${who}`]),
    ...(signatory?.kind === "certificate" ? [`(${signatory.issuer})`] : []),
    ...(signedReference === undefined ? [] : [`for ${signedReference}`]),
    ...(signedAt === undefined ? [] : [`at ${signedAt}`]),
    ...(reason === undefined ? [] : [`(${reason})`]),
  ].join(" ")
}

function model({ evidence, status, signatory, signedReference, signedAt, predicate, code, reason }: Verdict) {
  return {
    status,
    kind: evidence.kind,
    form: evidence.form,
    predicate_type: evidence.predicateType,
    manifest: evidence.manifest.digest,
    blob: evidence.blob.digest,
    ...(signatory?.kind === "key" && { key_id: signatory.keyId }),
    ...(signatory?.kind === "certificate" && { identity: signatory.identity, issuer: signatory.issuer }),
    ...(signedReference !== undefined && { signed_for: signedReference }),
    ...(signedAt !== undefined && { signed_at: signedAt }),
    ...(predicate !== undefined && { predicate }),
    ...(code !== undefined && { code, reason }),
  }
}
