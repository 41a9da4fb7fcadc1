import { resolve } from "node:path"
import type { Command } from "commander"
import { timeNow } from "../../../artifact/epoch.ts"
import type { DiskFormat } from "../../../artifact/machine/manifest.ts"
import { pack } from "../../../artifact/machine/pack.ts"
import { type PackSource, readSource } from "../../../artifact/machine/source.ts"
import type { Digest } from "../../../content/digest.ts"
import { checkChain } from "../../../disk/chain.ts"
import { type DiskInfo, type InspectOptions, inspectDisk } from "../../../disk/inspect.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { takeIn } from "../../../images/take-in.ts"
import { checkKernel, KERNEL_ARCHITECTURES } from "../../../kernel.ts"
import { parseReference, type Reference } from "../../../registry/reference.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printError, printJson, warn } from "../../output.ts"
import { type PlatformOption, parsePlatformText } from "../../platform-option.ts"
import type { ProvenanceOptions, Run } from "../../provenance.ts"
import { savedAsQcow2 } from "../../raw-disk.ts"
import { signerOptions } from "../../signer-options.ts"
import { parseAmple, parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"
import { openProgress } from "../../terminal/progress.ts"

interface PackOptions extends ProvenanceOptions, PlatformOption {
  readonly file?: string
  readonly tag: string
  readonly kernel?: string
  readonly initrd?: string
  readonly layer?: readonly string[]
  readonly format?: DiskFormat
  readonly args?: string
  readonly memory?: number
  readonly agent?: boolean
  readonly uefi?: boolean
  readonly secureBoot?: boolean
  readonly tpm?: boolean
  readonly cpus?: number
  readonly json?: boolean
}

/** What a machine has of a PC beside its devices. */
const FIRMWARE = ["uefi", "secureBoot", "tpm"] as const

export function define(command: Command): void {
  // One list for both spellings: the layers are a chain, in the order of the command line.
  const layers: string[] = []
  const addLayer = (path: string) => layers.push(path)
  const parts = ["kernel", "initrd", "format", "args", "platform", ...FIRMWARE]
  command
    .description(
      "Make an image of local files and keep it on this host. The same files give the same digest on any " +
        "machine; SOURCE_DATE_EPOCH sets the time of creation, which is left out otherwise.",
    )
    .addOption(
      command
        .createOption(
          "-f, --file <file>",
          "pack source: a JSON file that names the parts; --memory, --cpus and --agent have the last word",
        )
        .conflicts(parts),
    )
    .requiredOption("-t, --tag <name>", "name of the image")
    .option(
      "--kernel <file>",
      "kernel: a bzImage or ELF file, an Image for arm64, or with --uefi an EFI program",
    )
    .option("--initrd <file>", "initial RAM disk")
    .option("--layer <file>", "disk layer, qcow2 or raw; the base first, each next one on top", addLayer)
    .option("--disk <file>", "the same as --layer", addLayer)
    .addOption(
      command
        .createOption(
          "--format <format>",
          "format of the first disk layer, where its bytes are not to be asked",
        )
        .choices(["raw", "qcow2"]),
    )
    .option("--args <line>", "kernel command line")
    .option("--memory <size>", "memory of the machine", (text) => parseAmple(text, "--memory"))
    .option("--cpus <count>", "virtual CPUs of the machine", (text) => parseCount(text, "--cpus"))
    .option("--agent", "have machines of it start with an agent inside, for ovm exec")
    .option("--uefi", "boot it by UEFI, in place of BIOS or of its kernel directly")
    .option("--secure-boot", "boot it by UEFI, and nothing that is not signed")
    .option("--tpm", "give it a TPM 2.0")
    .option(
      "--platform <os/arch>",
      "what the machine is for, such as linux/arm64; what its kernel is for, or linux/amd64, unless told",
      parsePlatformText,
    )
    .option(
      "--provenance [file]",
      "write down what it was packed from, as SLSA provenance v1: to the file, or to provenance.json; " +
        "with --key it is attached",
    )
  signerOptions(command)
  command.option("--json", "print JSON").action((options: PackOptions) => run(options, layers))
  examples(
    command,
    "ovm pack -f machine.json -t debian:13",
    "ovm pack -f machine.json -t debian:13 --provenance debian.provenance.json",
    "ovm pack --kernel vmlinuz --initrd initrd.img --layer base.qcow2 --layer app.qcow2 " +
      "--args 'console=ttyS0 root=/dev/vda rw' -t registry.example.com/machines/app:1",
  )
}

async function run(options: PackOptions, layers: readonly string[]): Promise<void> {
  const reference = parseReference(options.tag)
  if (options.file !== undefined && layers.length > 0)
    throw new OvmError(
      "OVM_USAGE",
      "option '-f, --file <file>' cannot be used with option '--layer <file>'",
      {
        hint: "name the layers in the pack source",
      },
    )
  const keep = await provenanceKeeper(options)
  const started = timeNow(process.env.SOURCE_DATE_EPOCH)
  const read = options.file === undefined ? undefined : await readSource(options.file)
  const source = read
    ? { ...read.source, ...wishesOf(options, read.source.resources) }
    : sourceOf(await withPlatform(options), layers, reference)
  const base = read?.base ?? process.cwd()
  const files: Run["files"][number][] = []
  const remarks: string[] = []
  const descriptor = await interruptible(async (signal) => {
    using progress = await openProgress()
    return await takeIn(paths(), { durable: true }, async (store) => {
      const packed = await pack(source, store, {
        base,
        disks: { inspect: inspectAloud, checkChain },
        sourceDateEpoch: process.env.SOURCE_DATE_EPOCH,
        signal,
        onFile: progress.onFile,
        onBlob: (blob) => files.push(blob),
      })
      await store.tag(packed, reference.toString(), { signal })
      remarks.push(...(await savedAsQcow2(files, store)))
      return packed
    })
  })
  for (const remark of remarks) printError(`${remark}\n`)
  const sourceFile =
    read && options.file !== undefined ? { path: resolve(options.file), digest: read.digest } : undefined
  const run = { source, base, files, started, ...(sourceFile && { sourceFile }) }
  const done = { reference: reference.toString(), digest: descriptor.digest }
  const kept = keep && (await keep(run, { reference, digest: descriptor.digest }))
  if (options.json) printJson({ ...done, ...kept })
  else print(`${descriptor.digest}  ${reference}\n`)
}

/**
 * A disk that was declared raw is taken as that, whatever its bytes look like; but not without a word (OVMS-SRC-021).
 */
async function inspectAloud(path: string, options: InspectOptions): Promise<DiskInfo> {
  const info = await inspectDisk(path, options)
  if (info.looksLike) warn(`${path} is packed as raw, but looks like ${info.looksLike}`)
  return info
}

/** What is to be done with what there is to say of the run; undefined if nothing. */
async function provenanceKeeper(options: PackOptions) {
  if (options.provenance === undefined && options.key === undefined && options.fulcioUrl === undefined)
    return undefined
  // Loaded only where it is wanted: packing needs nothing of it.
  const { keepProvenance, wantedProvenance } = await import("../../provenance.ts")
  const wanted = await wantedProvenance(options)
  return (run: Run, image: { readonly reference: Reference; readonly digest: Digest }) =>
    keepProvenance(wanted, run, image)
}

/** An architecture in the words of `metadata.platform`. */
function wordOf(architecture: string | undefined): "x86_64" | "aarch64" {
  return architecture === "arm64" ? "aarch64" : "x86_64"
}

/** What its kernel is for, where the manifest says how that is booted. */
async function withPlatform(options: PackOptions): Promise<PackOptions> {
  const { kernel, uefi, secureBoot, tpm, platform } = options
  if (kernel === undefined || platform !== undefined || !(uefi || secureBoot || tpm)) return options
  const format = await checkKernel(kernel, { uefi: uefi || secureBoot })
  return { ...options, platform: `linux/${KERNEL_ARCHITECTURES[format]}` }
}

function platformOf({ uefi, secureBoot, tpm }: PackOptions, architecture: string | undefined) {
  if (!uefi && !secureBoot && !tpm) return {}
  const platform = {
    arch: wordOf(architecture),
    ...((uefi || secureBoot) && { uefi: true }),
    ...(secureBoot && { secureBoot }),
    ...(tpm && { tpm }),
  }
  return { metadata: { platform } }
}

/** What the command line may say of a machine beside what it is made of, and what it leaves of `resources`. */
function wishesOf({ memory, cpus, agent }: PackOptions, resources: PackSource["resources"]) {
  const wished = {
    ...resources,
    ...(cpus !== undefined && { vcpus: cpus }),
    ...(memory !== undefined && { memory }),
  }
  return {
    ...(agent && { agent: { protocol: "ovms.agent.v1" as const } }),
    ...(Object.keys(wished).length > 0 && { resources: wished }),
  }
}

function sourceOf(options: PackOptions, layers: readonly string[], reference: Reference): PackSource {
  const { kernel, initrd, format, args, platform } = options
  const [os, architecture] = platform?.split("/") ?? []
  if (kernel === undefined && layers.length === 0)
    throw new OvmError(
      "OVM_USAGE",
      "there is nothing to pack: neither --file, --kernel nor --layer is given",
      {
        hint: "ovm pack --help",
      },
    )
  if (args !== undefined && kernel === undefined)
    throw new OvmError("OVM_USAGE", "--args is the command line of a kernel, but --kernel is not given")
  if (format !== undefined && layers.length === 0)
    throw new OvmError(
      "OVM_USAGE",
      "--format is the format of the first disk layer, but --layer is not given",
    )
  return {
    schemaVersion: 1,
    name: reference.repository,
    ...(os !== undefined && architecture !== undefined && { os, architecture }),
    ...(kernel !== undefined && { kernel: { path: kernel, ...(args !== undefined && { args }) } }),
    ...(initrd !== undefined && { initrd: { path: initrd } }),
    ...(layers.length > 0 && {
      diskLayers: layers.map((path, index) => ({ path, ...(index === 0 && format && { format }) })),
    }),
    ...platformOf(options, architecture),
    ...wishesOf(options, undefined),
  }
}
