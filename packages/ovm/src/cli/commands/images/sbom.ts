import { mkdir } from "node:fs/promises"
import type { Command } from "commander"
import { timeNow } from "../../../artifact/epoch.ts"
import type { Descriptor } from "../../../content/descriptor.ts"
import { bytesOf } from "../../../content/read.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import type { Sealer } from "../../../signing/bundle/write.ts"
import type { Signer } from "../../../signing/interfaces.ts"
import { SBOM_PREDICATES, type SbomFormat, sbomDocument } from "../../../supply/sbom/document.ts"
import { takeInventory } from "../../../supply/sbom/inventory.ts"
import { VERSION } from "../../../version.ts"
import type { AttestedOptions } from "../../attested.ts"
import { formatCount } from "../../format.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printable, printError, printJson } from "../../output.ts"
import { writeOutput } from "../../output-file.ts"
import { locate } from "../../place/locate.ts"
import { oneMachine } from "../../place/machine.ts"
import { findWhere } from "../../place/where.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { openSigner, type SignerOptions } from "../../signer.ts"
import { signerOptions } from "../../signer-options.ts"
import { examples } from "../../terminal/examples.ts"

interface SbomOptions extends SignerOptions, PlatformOption {
  readonly format: SbomFormat
  readonly output?: string
  readonly attach?: boolean
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Write down what an image on this host consists of: its blobs and how they are layered, the kernel's " +
        "version, and the packages that dpkg or apk installed on its disk, where that is ext2, ext3 or ext4. What " +
        "could not be looked into is said in the document and on standard error. The same image gives the same " +
        "document if SOURCE_DATE_EPOCH is set.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .addOption(
      command
        .createOption("--format <format>", "format of the document")
        .choices(["cyclonedx", "spdx"])
        .default("cyclonedx"),
    )
    .option("-o, --output <file>", "write it there instead of to standard output")
    .option(
      "--attach",
      "attach it to the image as a signed attestation, where ovm attest would; needs who signs",
    )
  signerOptions(command)
  command.option("--plain-http", "speak HTTP without TLS to the registry")
  platformOption(command)
    .option("--json", "print what was done as JSON; only with --output or --attach")
    .action(run)
  examples(
    command,
    "ovm sbom debian:13",
    "ovm sbom debian:13 --format spdx --output debian.spdx.json",
    "ovm sbom registry.example.com/machines/debian:13 --attach --key cosign.key",
  )
}

async function run(image: string, options: SbomOptions): Promise<void> {
  const { format, output, attach } = options
  if (options.json && output === undefined && !attach)
    throw new OvmError("OVM_USAGE", "--json is for use with --output: the document is JSON already")
  if (!attach && (options.key !== undefined || options.fulcioUrl !== undefined))
    throw new OvmError("OVM_USAGE", "there is nothing to sign without --attach")
  const by = attach ? await openSigner(options) : undefined
  const created = new Date(timeNow(process.env.SOURCE_DATE_EPOCH))
  const inventory = await interruptible((signal) => inventoryOf(image, { ...options, signal }))
  const document = await sbomDocument(format, inventory, { created, version: VERSION })
  const text = `${JSON.stringify(document, undefined, 2)}\n`
  for (const gap of inventory.gaps) printError(`warning: ${printable(gap)}\n`)
  if (output === undefined && !by) return print(text)
  if (output !== undefined) await writeOutput(output, bytesOf(Buffer.from(text)))
  const { digest } = inventory.subject
  const { platform } = options
  const about = { predicateType: SBOM_PREDICATES[format], predicate: document, expected: digest, platform }
  const manifest =
    by && (await attachTo(image, by, { ...about, ...(options.plainHttp && { plainHttp: true }) }))
  const packages = inventory.installed.reduce((sum, { packages: { length } }) => sum + length, 0)
  const attestation = manifest && { attestation: manifest.digest }
  if (options.json) printJson({ digest, format, output, packages, gaps: inventory.gaps, ...attestation })
  else
    print(
      `${output ?? `${digest}  ${image}`}: ${formatCount(inventory.parts.length, "blob")}, ${formatCount(packages, "package")}` +
        `${manifest ? ", attached" : ""}\n`,
    )
}

async function attachTo(
  image: string,
  by: Signer | Sealer,
  about: Omit<AttestedOptions, "signal">,
): Promise<Descriptor> {
  // Loaded only where it is wanted.
  const { attested } = await import("../../attested.ts")
  return (await interruptible((signal) => attested(image, by, { ...about, signal }))).manifest
}

async function inventoryOf(image: string, { platform, signal }: PlatformOption & { signal: AbortSignal }) {
  const where = await findWhere(image)
  const local = "reference" in where ? where.reference.toString() : where.text
  await using found = await locate(local, { hold: true, signal })
  if (!found.files)
    throw new OvmError(
      "OVM_CONTENT_MISSING",
      `${found.name} is not on this host, where its disk can be read`,
      { hint: `ovm pull ${found.name}` },
    )
  // Beside the store, and not in /tmp, which may be memory: a disk may have to be copied.
  const folder = paths().root
  await mkdir(folder, { recursive: true })
  const { target } = await oneMachine(found, { platform, signal })
  return await takeInventory(found.files, target, { folder, signal })
}
