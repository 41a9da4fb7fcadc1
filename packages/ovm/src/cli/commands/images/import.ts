import { createWriteStream } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import type { Command } from "commander"
import { pack } from "../../../artifact/machine/pack.ts"
import { checkSource } from "../../../artifact/machine/source.ts"
import { takeOci } from "../../../convert/oci/take.ts"
import { takeFile } from "../../../convert/take.ts"
import type { TakenMachine } from "../../../convert/taken.ts"
import type { TakeCall } from "../../../convert/work.ts"
import { Workplace } from "../../../convert/workplace.ts"
import { checkChain } from "../../../disk/chain.ts"
import { inspectDisk } from "../../../disk/inspect.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { takeIn } from "../../../images/take-in.ts"
import { parseReference, type Reference } from "../../../registry/reference.ts"
import { parseDiskSize } from "../../import/disk-size.ts"
import { type FoundSource, findSource } from "../../import/find.ts"
import { packSourceOf, writtenDisks } from "../../import/source.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printError, printJson } from "../../output.ts"
import { parseAmple, parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"
import { openProgress } from "../../terminal/progress.ts"

interface ImportOptions {
  readonly tag: string
  readonly firmware?: "bios" | "uefi"
  readonly memory?: number
  readonly cpus?: number
  readonly agent?: boolean
  readonly kernelFrom?: string
  readonly diskSize?: number
  readonly plainHttp?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Make an image of a machine as other programs have it: an OVA, a disk (qcow2, raw, VMDK, VHD, VHDX or VDI) alone " +
        "or in a tar, both also compressed by gzip, xz, zstd or bzip2; or, from an OCI layout, its archive, an archive " +
        "of Docker's or a registry, a container image, a containerDisk or virtual machine of KubeVirt's, a machine of " +
        "Podman's, or one disk. What it is, is told by its bytes and types. The same source gives the same digest.",
    )
    .argument("<source>", "the file, layout or name; - for standard input")
    .requiredOption("-t, --tag <name>", "name of the image")
    .addOption(
      command
        .createOption("--firmware <kind>", "what boots it; told by its partitions unless given")
        .choices(["bios", "uefi"]),
    )
    .option("--memory <size>", "memory of the machine", (text) => parseAmple(text, "--memory"))
    .option("--cpus <count>", "virtual CPUs of the machine", (text) => parseCount(text, "--cpus"))
    .option("--agent", "have machines of it start with an agent inside, for ovm exec; those of containers do")
    .option("--no-agent", "have machines of a container image start without one")
    .option(
      "--kernel-from <machine>",
      "what boots a container image: an image here, or a folder with vmlinuz and initrd.img",
    )
    .option("--disk-size <size>", "of a container image's disk, at least (10GiB)", (text) =>
      parseDiskSize(text, "--disk-size"),
    )
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm import debian-12-generic-amd64.qcow2 -t debian:12",
    "ovm import appliance.vmdk -t appliance:3 --memory 2GiB --cpus 2",
    "ovm import appliance.ova -t appliance:4",
    "ovm import docker://registry.example.com/containerdisks/fedora:43 -t fedora:43",
    "ovm import docker://registry.example.com/web:1 -t web:1 --kernel-from debian:12",
    "curl -sL https://example.com/disk.raw.xz | ovm import - -t disk:1",
  )
}

async function run(text: string, options: ImportOptions): Promise<void> {
  const reference = parseReference(options.tag)
  const { digest, remarks, ...more } = await interruptible(async (signal) => {
    await using found = text === "-" ? undefined : await findSource(text, { ...options, signal })
    if (found?.machine !== undefined)
      throw new OvmError("OVM_UNSUPPORTED", `${found.machine} is a machine of OVMS already`, {
        hint: `ovm pull ${found.machine}`,
      })
    if (!found?.container) return await machine(text, found, { reference, options, signal })
    if (options.firmware)
      throw new OvmError("OVM_USAGE", "--firmware is of disks: a container image is booted by a kernel")
    const { importContainer } = await import("../../import/container.ts")
    const done = await importContainer(found.container, reference, { ...options, signal })
    return { ...done, format: "container" }
  })
  for (const remark of remarks) if (!options.json) printError(`${remark}\n`)
  if (options.json) printJson({ reference: reference.toString(), digest, ...more, remarks })
  else print(`${digest}  ${reference}\n`)
}

interface Importing {
  readonly reference: Reference
  readonly options: ImportOptions
  readonly signal: AbortSignal
}

/** Of disks, in a file or an artifact. */
async function machine(
  text: string,
  found: FoundSource | undefined,
  { reference, options, signal }: Importing,
) {
  refuseForDisk(options)
  const { root } = paths()
  using place = await Workplace.open(join(root, "importing"), { signal })
  using progress = await openProgress()
  const inPlace = {
    ...(options.cpus !== undefined && { vcpus: options.cpus }),
    ...(options.memory !== undefined && { memory: options.memory }),
  }
  const taken = await take(text, found, place, { signal, onFile: progress.onFile, inPlace })
  const source = checkSource(packSourceOf(taken, { ...options, name: reference.repository }))
  const { digest } = await takeIn(paths(), { durable: true }, async (store) => {
    const packed = await pack(source, store, {
      base: root,
      disks: { inspect: inspectDisk, checkChain },
      sourceDateEpoch: process.env.SOURCE_DATE_EPOCH,
      given: writtenDisks(taken),
      signal,
    })
    await store.tag(packed, reference.toString(), { signal })
    return packed
  })
  const firmware = options.firmware ?? taken.said.firmware
  return { digest, format: taken.disk.format, firmware, remarks: taken.remarks }
}

async function take(
  text: string,
  found: FoundSource | undefined,
  place: Workplace,
  call: TakeCall,
): Promise<TakenMachine> {
  if (found?.artifact) return await takeOci(found.artifact.found, found.artifact, place, call)
  if (text !== "-") return await takeFile({ path: text, named: text }, place, call)
  return await takeFile({ path: await spooled(place, call), named: "standard input" }, place, call)
}

function refuseForDisk({ kernelFrom, diskSize }: ImportOptions): void {
  const [flag] = [kernelFrom && "--kernel-from", diskSize && "--disk-size"].filter(Boolean)
  if (flag) throw new OvmError("OVM_USAGE", `${flag} is of container images, and this is a disk`)
}

/** A pipe cannot be looked at twice. */
async function spooled(place: Workplace, { signal }: TakeCall): Promise<string> {
  if (process.stdin.isTTY)
    throw new OvmError("OVM_USAGE", "standard input is a terminal", { hint: "ovm import FILE -t NAME" })
  const path = place.file()
  await pipeline(process.stdin, createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal })
  return path
}
