import type { Command } from "commander"
import { pack } from "../../artifact/pack.ts"
import { type PackSource, readSource } from "../../artifact/source.ts"
import { checkChain } from "../../disk/chain.ts"
import { inspectDisk } from "../../disk/inspect.ts"
import { OvmError } from "../../errors.ts"
import { parseReference, type Reference } from "../../registry/reference.ts"
import { examples } from "../examples.ts"
import { interruptible } from "../interrupt.ts"
import { print, printJson } from "../output.ts"
import { parseCount, parseSize } from "../size.ts"
import { openStore } from "../store.ts"

interface PackOptions {
  readonly file?: string
  readonly tag: string
  readonly kernel?: string
  readonly initrd?: string
  readonly layer?: readonly string[]
  readonly args?: string
  readonly memory?: number
  readonly cpus?: number
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
    .option("--json", "print JSON")
    .action((options: PackOptions) => run(options, layers))
  examples(
    command,
    "ovm pack -f machine.json -t debian:13",
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
  const { source, base } =
    options.file === undefined
      ? { source: sourceOf(options, layers, reference), base: process.cwd() }
      : await readSource(options.file)
  const descriptor = await interruptible(async (signal) => {
    await using store = await openStore()
    const packed = await pack(source, store, {
      base,
      disks: { inspect: inspectDisk, checkChain },
      sourceDateEpoch: process.env.SOURCE_DATE_EPOCH,
      signal,
    })
    await store.tag(packed, reference.toString(), { signal })
    return packed
  })
  if (options.json) printJson({ reference: reference.toString(), digest: descriptor.digest })
  else print(`${descriptor.digest}  ${reference}\n`)
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
