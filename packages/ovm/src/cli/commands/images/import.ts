import { createWriteStream } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import type { Command } from "commander"
import { pack } from "../../../artifact/machine/pack.ts"
import { checkSource } from "../../../artifact/machine/source.ts"
import { type TakenDisk, takeDisk } from "../../../convert/take.ts"
import { Workplace } from "../../../convert/workplace.ts"
import { checkChain } from "../../../disk/chain.ts"
import { inspectDisk } from "../../../disk/inspect.ts"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { takeIn } from "../../../images/take-in.ts"
import { parseReference, type Reference } from "../../../registry/reference.ts"
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
      "Make an image of a disk as other programs have it: qcow2, raw, VMDK, VHD, VHDX or VDI, also compressed by gzip, " +
        "xz, zstd or bzip2; or of a container image: an OCI layout or archive, an archive of Docker's, or a name in a " +
        "registry. What it is, is told by its bytes. The same source gives the same digest.",
    )
    .argument("<source>", "the file, layout or name; - for a disk on standard input")
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
      diskSize(text, "--disk-size"),
    )
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm import debian-12-generic-amd64.qcow2 -t debian:12",
    "ovm import appliance.vmdk -t appliance:3 --memory 2GiB --cpus 2",
    "ovm import docker://registry.example.com/web:1 -t web:1 --kernel-from debian:12",
    "curl -sL https://example.com/disk.raw.xz | ovm import - -t disk:1",
  )
}

async function run(disk: string, options: ImportOptions): Promise<void> {
  const reference = parseReference(options.tag)
  if (disk !== "-" && (await container(disk, reference, options))) return
  refuseForDisk(options)
  const { root } = paths()
  const done = await interruptible(async (signal) => {
    using place = await Workplace.open(join(root, "importing"), { signal })
    const path = disk === "-" ? await spooled(place, signal) : disk
    const named = disk === "-" ? "standard input" : disk
    const taken = await takeDisk({ path, named }, place, { signal })
    const source = checkSource(sourceOf(taken, options, reference))
    using progress = await openProgress()
    const target = await takeIn(paths(), { durable: true }, async (store) => {
      const packed = await pack(source, store, {
        base: root,
        disks: { inspect: inspectDisk, checkChain },
        sourceDateEpoch: process.env.SOURCE_DATE_EPOCH,
        given: true,
        signal,
        onFile: (_, at, total) => progress.onFile(named, at, total),
      })
      await store.tag(packed, reference.toString(), { signal })
      return packed
    })
    return { taken, digest: target.digest }
  })
  const { taken, digest } = done
  for (const remark of taken.remarks) if (!options.json) printError(`${remark}\n`)
  const firmware = options.firmware ?? taken.firmware
  if (options.json)
    printJson({
      reference: reference.toString(),
      digest,
      format: taken.format,
      firmware,
      remarks: taken.remarks,
    })
  else print(`${digest}  ${reference}\n`)
}

/** Of the largest file system that is made: 1 TiB. */
const MOST_DISK = 2 ** 40

function diskSize(text: string, option: string): number {
  const bytes = parseAmple(text, option)
  if (bytes <= MOST_DISK) return bytes
  throw new OvmError("OVM_USAGE", `${option} ${JSON.stringify(text)} is more than 1 TiB`)
}

/** False if it is none. */
async function container(text: string, reference: Reference, options: ImportOptions): Promise<boolean> {
  const done = await interruptible(async (signal) => {
    const { findContainer } = await import("../../import/find.ts")
    await using found = await findContainer(text, { ...options, signal })
    if (!found) return undefined
    if (options.firmware)
      throw new OvmError("OVM_USAGE", "--firmware is of disks: a container image is booted by a kernel")
    const { importContainer } = await import("../../import/container.ts")
    return await importContainer(found, reference, { ...options, signal })
  })
  if (!done) return false
  const { digest, remarks } = done
  for (const remark of remarks) if (!options.json) printError(`${remark}\n`)
  if (options.json) printJson({ reference: reference.toString(), digest, format: "container", remarks })
  else print(`${digest}  ${reference}\n`)
  return true
}

function refuseForDisk({ kernelFrom, diskSize }: ImportOptions): void {
  const [flag] = [kernelFrom && "--kernel-from", diskSize && "--disk-size"].filter(Boolean)
  if (flag) throw new OvmError("OVM_USAGE", `${flag} is of container images, and this is a disk`)
}

function sourceOf(taken: TakenDisk, options: ImportOptions, reference: Reference) {
  const { memory, cpus, agent, firmware = taken.firmware } = options
  return {
    schemaVersion: 1,
    name: reference.repository,
    diskLayers: [{ path: taken.path, format: "qcow2" }],
    ...(agent && { agent: { protocol: "ovms.agent.v1" } }),
    ...((memory !== undefined || cpus !== undefined) && {
      resources: { ...(cpus !== undefined && { vcpus: cpus }), ...(memory !== undefined && { memory }) },
    }),
    ...(firmware === "uefi" && { metadata: { platform: { arch: "x86_64", uefi: true } } }),
  }
}

/** A pipe cannot be looked at twice. */
async function spooled(place: Workplace, signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY)
    throw new OvmError("OVM_USAGE", "standard input is a terminal", { hint: "ovm import FILE -t NAME" })
  const path = place.file()
  await pipeline(process.stdin, createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal })
  return path
}
