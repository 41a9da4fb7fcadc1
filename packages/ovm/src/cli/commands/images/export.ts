import { createReadStream } from "node:fs"
import { open, rename } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import type { Command } from "commander"
import { readArtifact } from "../../../artifact/machine/read.ts"
import { isSnapshot } from "../../../artifact/snapshot/read.ts"
import type { Descriptor } from "../../../content/descriptor.ts"
import type { Call } from "../../../content/interfaces.ts"
import type { LayoutReader } from "../../../content/layout/reader.ts"
import { type ExportFormat, FORMATS, flattenTo } from "../../../convert/flat.ts"
import { Workplace } from "../../../convert/workplace.ts"
import type { ChainFile } from "../../../disk/chain-reader.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { interruptible } from "../../interrupt.ts"
import { isTerminal, printBytes, printError, printJson } from "../../output.ts"
import { locate } from "../../place/locate.ts"
import { oneMachine } from "../../place/machine.ts"
import { type PlatformOption, platformOption } from "../../platform-option.ts"
import { examples } from "../../terminal/examples.ts"

interface ExportOptions extends PlatformOption {
  readonly format: ExportFormat
  readonly output: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Write the disk of an image on this host into one file, as other programs have it: all of its layers together. " +
        "A kernel and an initrd have no place there: an image with those is refused.",
    )
    .argument("<image>", "name of an image, or path of an OCI layout: DIRECTORY or DIRECTORY:TAG")
    .addOption(
      command
        .createOption("--format <format>", "format of the file")
        .choices(Object.keys(FORMATS))
        .makeOptionMandatory(),
    )
    .requiredOption("-o, --output <file>", "where to write; - for standard output")
  platformOption(command).option("--json", "print JSON").action(run)
  examples(
    command,
    "ovm export debian:12 --format vmdk -o debian.vmdk",
    "ovm export debian:12 --format raw -o - | dd of=/dev/sdX bs=4M",
  )
}

async function run(image: string, { format, output, platform, json }: ExportOptions): Promise<void> {
  const piped = output === "-"
  if (piped && (json || isTerminal("stdout")))
    throw new OvmError("OVM_USAGE", `standard output ${json ? "cannot have both" : "is a terminal"}`, {
      hint: "-o FILE",
    })
  const target = resolve(output)
  const digest = await interruptible(async (signal) => {
    await using located = await locate(image, { hold: true, signal })
    const { files } = located
    if (!files)
      throw new OvmError(
        "OVM_CONTENT_MISSING",
        `${located.name} is not on this host, where its disk can be read`,
        {
          hint: `ovm pull ${located.name}`,
        },
      )
    const found = await oneMachine(located, { platform, signal })
    const layers = await diskOf(files, found, { signal })
    // Beside what it is going to be, so that it gets its name at once.
    using place = piped
      ? await Workplace.open(join(paths().root, "importing"), { signal })
      : await Workplace.beside(dirname(target))
    const path = place.file()
    await flattenTo(layers, { path, format }, { signal })
    if (!piped) await settle(path, target)
    else for await (const chunk of createReadStream(path)) await printBytes(chunk)
    return found.target.digest
  })
  if (json) printJson({ file: output, format, digest })
  else if (!piped) printError(`${digest}  ${output}\n`)
}

/** It is on the disk before it has its name. */
async function settle(path: string, target: string): Promise<void> {
  await using file = await open(path, "r+")
  await file.sync()
  await rename(path, target)
}

/** The files of its one disk. Throws OVM_UNSUPPORTED for what a file of a disk has no place for. */
async function diskOf(
  files: LayoutReader,
  { name, target }: { readonly name: string; readonly target: Descriptor },
  call: Call,
): Promise<ChainFile[]> {
  const refuse = (what: string, pointer: string) =>
    new OvmError("OVM_UNSUPPORTED", `${name} ${what}, for which a file of a disk has no place`, {
      detail: [{ pointer, reason: what }],
    })
  if (await isSnapshot(files, target, call)) throw refuse("is a snapshot, with RAM", "/ram")
  const { kernel, initrd, layers, disks } = await readArtifact(files, target, call)
  if (kernel) throw refuse(`has a kernel${initrd ? " and an initrd" : ""}`, "/kernel")
  if (disks.length > 0)
    throw refuse(`has further disks: ${disks.map((one) => one.name).join(", ")}`, "/disks")
  if (layers.length === 0) throw refuse("has no disk", "/diskLayers")
  return await Promise.all(
    layers.map(async ({ descriptor, format }) => {
      const path = await files.path(descriptor)
      if (path === undefined)
        throw new OvmError("OVM_CONTENT_MISSING", `${name}: ${descriptor.digest} is not here`)
      return { path, format }
    }),
  )
}
