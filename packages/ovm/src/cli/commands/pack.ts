import { resolve } from "node:path"
import type { Command } from "commander"
import { epochTime } from "../../artifact/epoch.ts"
import { pack } from "../../artifact/pack.ts"
import { type PackSource, readSource } from "../../artifact/source.ts"
import { bytesOf } from "../../content/read.ts"
import { checkChain } from "../../disk/chain.ts"
import { inspectDisk } from "../../disk/inspect.ts"
import { OvmError } from "../../errors.ts"
import { takeIn } from "../../images/take-in.ts"
import { paths } from "../../paths.ts"
import { parseReference, type Reference } from "../../registry/reference.ts"
import type { PackRun } from "../../supply/provenance.ts"
import { VERSION } from "../../version.ts"
import { examples } from "../examples.ts"
import { interruptible } from "../interrupt.ts"
import { print, printJson } from "../output.ts"
import { parseCount, parseSize } from "../size.ts"

/** Where provenance goes unless told. */
const PROVENANCE = "provenance.json"

interface PackOptions {
  readonly file?: string
  readonly tag: string
  readonly kernel?: string
  readonly initrd?: string
  readonly layer?: readonly string[]
  readonly args?: string
  readonly memory?: number
  readonly cpus?: number
  /** A path, or true where none is given. */
  readonly provenance?: string | true
  readonly json?: boolean
}

export function define(command: Command): void {
  // One list for both spellings: the layers are a chain, in the order of the command line.
  const layers: string[] = []
  const addLayer = (path: string) => layers.push(path)
  const parts = ["kernel", "initrd", "args", "memory", "cpus"]
  command
    .description(
      "Make an image of local files and keep it on this host. The same files give the same digest on any machine;\n" +
        "SOURCE_DATE_EPOCH sets the time of creation, which is left out otherwise.",
    )
    .addOption(
      command
        .createOption("-f, --file <file>", "pack source: a JSON file that names the parts")
        .conflicts(parts),
    )
    .requiredOption("-t, --tag <name>", "name of the image")
    .option("--kernel <file>", "kernel: a bzImage or ELF file")
    .option("--initrd <file>", "initial RAM disk")
    .option("--layer <file>", "disk layer, qcow2 or raw; the base first, each next one on top", addLayer)
    .option("--disk <file>", "the same as --layer", addLayer)
    .option("--args <line>", "kernel command line")
    .option("--memory <size>", "memory of the machine", (text) => parseSize(text, "--memory"))
    .option("--cpus <count>", "virtual CPUs of the machine", (text) => parseCount(text, "--cpus"))
    .option(
      "--provenance [file]",
      `write down what it was packed from, as SLSA provenance v1; to ${PROVENANCE}`,
    )
    .option("--json", "print JSON")
    .action((options: PackOptions) => run(options, layers))
  examples(
    command,
    "ovm pack -f machine.json -t debian:13",
    "ovm pack -f machine.json -t debian:13 --provenance debian.provenance.json",
    "ovm pack --kernel vmlinuz --initrd initrd.img --layer base.qcow2 --layer app.qcow2 \\",
    "#   --args 'console=ttyS0 root=/dev/vda rw' -t registry.example.com/machines/app:1",
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
  const started = now()
  const read = options.file === undefined ? undefined : await readSource(options.file)
  const { source, base } = read ?? { source: sourceOf(options, layers, reference), base: process.cwd() }
  const files: PackRun["files"][number][] = []
  const descriptor = await interruptible(async (signal) => {
    return await takeIn(paths(), { durable: true }, async (store) => {
      const packed = await pack(source, store, {
        base,
        disks: { inspect: inspectDisk, checkChain },
        sourceDateEpoch: process.env.SOURCE_DATE_EPOCH,
        signal,
        onBlob: (blob) => files.push(blob),
      })
      await store.tag(packed, reference.toString(), { signal })
      return packed
    })
  })
  const provenance = options.provenance === true ? PROVENANCE : options.provenance
  if (provenance !== undefined) {
    const sourceFile =
      read && options.file !== undefined ? { path: resolve(options.file), digest: read.digest } : undefined
    await writeProvenance(provenance, { source, base, files, started, ...(sourceFile && { sourceFile }) })
  }
  const done = { reference: reference.toString(), digest: descriptor.digest }
  if (options.json) printJson({ ...done, ...(provenance !== undefined && { provenance }) })
  else print(`${descriptor.digest}  ${reference}\n`)
}

async function writeProvenance(
  path: string,
  run: Omit<PackRun, "finished" | "sourceDateEpoch" | "version">,
): Promise<void> {
  // Loaded only where they are wanted: packing needs neither.
  const { provenanceOf } = await import("../../supply/provenance.ts")
  const { replaceFile } = await import("../output-file.ts")
  const { SOURCE_DATE_EPOCH } = process.env
  const facts = {
    ...run,
    finished: now(),
    version: VERSION,
    ...(SOURCE_DATE_EPOCH && { sourceDateEpoch: SOURCE_DATE_EPOCH }),
  }
  await replaceFile(path, bytesOf(Buffer.from(`${JSON.stringify(provenanceOf(facts), undefined, 2)}\n`)))
}

/** Or the time that is to stand for it (OVMS-PRV-021). */
function now(): string {
  return epochTime(process.env.SOURCE_DATE_EPOCH) ?? new Date().toISOString()
}

function sourceOf(options: PackOptions, layers: readonly string[], reference: Reference): PackSource {
  const { kernel, initrd, args, memory, cpus } = options
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
  return {
    schemaVersion: 1,
    name: reference.repository,
    ...(kernel !== undefined && { kernel: { path: kernel, ...(args !== undefined && { args }) } }),
    ...(initrd !== undefined && { initrd: { path: initrd } }),
    ...(layers.length > 0 && { diskLayers: layers.map((path) => ({ path })) }),
    ...((memory !== undefined || cpus !== undefined) && {
      resources: { ...(cpus !== undefined && { vcpus: cpus }), ...(memory !== undefined && { memory }) },
    }),
  }
}
