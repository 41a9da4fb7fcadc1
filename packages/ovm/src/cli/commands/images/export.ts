import { createReadStream } from "node:fs"
import { open, rename, stat } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import type { Command } from "commander"
import { type DiskFileFormat, FORMATS, flattenTo } from "../../../convert/flat.ts"
import type { MachineOut } from "../../../convert/out/machine.ts"
import { onlyDisk } from "../../../convert/out/only-disk.ts"
import { Workplace } from "../../../convert/workplace.ts"
import type { ChainFile } from "../../../disk/chain-reader.ts"
import { OvmError } from "../../../errors.ts"
import { ifPresent } from "../../../files/present.ts"
import { paths } from "../../../host/paths.ts"
import { machineOut } from "../../export/machine.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, printBytes, printError, printJson, warn } from "../../output.ts"
import { writeOutput } from "../../output-file.ts"
import { locate } from "../../place/locate.ts"
import { oneMachine } from "../../place/machine.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { examples } from "../../terminal/examples.ts"

/** What is more than one file of a disk, loaded when it is asked for. */
const PACKAGES = {
  ova: async () => (await import("../../../convert/out/ova.ts")).ovaOf,
  containerdisk: async () => (await import("../../../convert/out/container-disk.ts")).containerDiskOf,
  kubevirt: async () => (await import("../../../convert/out/kubevirt.ts")).kubevirtOf,
}

type ExportFormat = DiskFileFormat | keyof typeof PACKAGES

interface ExportOptions extends PlatformOption {
  readonly format: ExportFormat
  readonly output: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Write the disk of an image on this host into one file, as other programs have it: all of its layers together; " +
        "or all of a machine as an OVA, or as the archive of an OCI layout with KubeVirt's containerDisk or virtual " +
        "machine. A kernel and an initrd have no place there: an image with those is refused.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .addOption(
      command
        .createOption("--format <format>", "format of the file")
        .choices([...Object.keys(FORMATS), ...Object.keys(PACKAGES)])
        .makeOptionMandatory(),
    )
    .requiredOption("-o, --output <file>", "where to write; - for standard output")
  platformOption(command).option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm export debian:12 --format vmdk -o debian.vmdk",
    "ovm export debian:12 --format containerdisk -o debian.tar && skopeo copy oci-archive:debian.tar docker://…",
    "ovm export debian:12 --format raw -o - | dd of=/dev/sdX bs=4M",
  )
}

async function run(image: string, { format, output, platform, json }: ExportOptions): Promise<void> {
  const piped = output === "-"
  if (piped && (json || isTerminal("stdout")))
    throw new OvmError("OVM_USAGE", `standard output ${json ? "cannot have both" : "is a terminal"}`, {
      hint: "-o FILE",
    })
  const digest = await interruptible(async (signal) => {
    await using located = await locate(image, { hold: true, signal })
    const { files, name, tag } = located
    if (!files)
      throw new OvmError("OVM_CONTENT_MISSING", `${name} is not on this host, where its disk can be read`, {
        hint: `ovm pull ${name}`,
      })
    const { target } = await oneMachine(located, { platform, signal })
    const machine = await machineOut(files, { name, target, ...(tag !== undefined && { tag }) }, { signal })
    for (const what of machine.leftBehind ?? []) warn(`${name}: ${what}`)
    if (isDisk(format)) await writeDisk(onlyDisk(machine), format, { output, signal })
    else await writePackage(machine, format, { output, signal })
    return target.digest
  })
  if (json) printJson({ file: output, format, digest })
  else if (!piped) printError(`${digest}  ${output}\n`)
}

interface Output {
  readonly output: string
  readonly signal: AbortSignal
}

/** One file of a disk, written by qemu-img beside what it is going to be, so that it gets its name at once. */
async function writeDisk(
  layers: readonly ChainFile[],
  format: DiskFileFormat,
  { output, signal }: Output,
): Promise<void> {
  const target = resolve(output)
  // A pipe or device is written to as it is.
  const replaces = output !== "-" && (await ifPresent(stat(target)))?.isFile() !== false
  using place = replaces ? await Workplace.beside(dirname(target)) : await workplace(signal)
  const path = place.file()
  await flattenTo(layers, { path, format, called: replaces ? target : dirname(path) }, { signal })
  if (replaces) await settle(path, target)
  else if (output !== "-") await writeOutput(target, createReadStream(path) as AsyncIterable<Buffer>)
  else for await (const chunk of createReadStream(path)) await printBytes(chunk)
}

/** A file of several parts, which are made first. */
async function writePackage(
  machine: MachineOut,
  format: keyof typeof PACKAGES,
  { output, signal }: Output,
): Promise<void> {
  using place = await workplace(signal)
  const content = await (await PACKAGES[format]())(machine, place, { signal })
  if (output !== "-") await writeOutput(output, content)
  else for await (const chunk of content) await printBytes(chunk)
}

async function workplace(signal: AbortSignal): Promise<Workplace> {
  return await Workplace.open(join(paths().root, "importing"), { signal })
}

function isDisk(format: ExportFormat): format is DiskFileFormat {
  return format in FORMATS
}

/** It is on the disk before it has its name. */
async function settle(path: string, target: string): Promise<void> {
  await using file = await open(path, "r+")
  await file.sync()
  await rename(path, target)
}
