import { resolve } from "node:path"
import type { Command } from "commander"
import { durationOf, isIdleTime } from "../compose/duration.ts"
import { OvmError } from "../errors.ts"
import { parseFurther, type WantedForward } from "../network/forward.ts"
import { isPath } from "../registry/reference.ts"
import type { MainCommand, Overrides, StartRequest } from "../runtime/interfaces.ts"
import { type Attached, type NamedVolume, parseVolume } from "../volume-text.ts"
import { defineFirstBootOptions, type FirstBootOptions, firstBootOf, sshOf } from "./first-boot.ts"
import { type PlatformOption, platformOption } from "./platform-option.ts"
import { parseAmple, parseCount, parseProcessors } from "./size.ts"

/** What `run` and `start` have in common: the overrides of POST /start (spec/runtime-api.md). */
export interface MachineOptions extends FirstBootOptions, PlatformOption {
  readonly name?: string
  readonly label?: Readonly<Record<string, string>>
  readonly memory?: number
  readonly cpus?: number
  readonly cpuQuota?: number
  readonly args?: string
  readonly vmm?: string
  readonly restart?: string
  readonly rm?: boolean
  readonly standbyAfter?: number
  readonly diskSize?: number
  readonly agent?: boolean
  readonly readOnly?: boolean
  readonly coldBootOnMismatch?: boolean
  readonly resume?: boolean
  readonly volume?: readonly Attached[]
  readonly network?: string
  readonly outbound?: "on" | "off"
  readonly allowOutbound?: readonly string[]
  readonly publish?: readonly WantedForward[]
  readonly publishAll?: boolean
  /** What the machine is for: behind the image on the command line. */
  readonly exec?: MainCommand
}

export function defineMachineOptions(command: Command): Command {
  const all = command
    .option("--name <name>", "name the instance; made from the image's name otherwise")
    .option(
      "-l, --label <name[=value]>",
      "a label, by which ovm ps --filter finds it; may be given again",
      collectLabel,
    )
    .option("--memory <size>", "memory, such as 512MiB or 2GiB", (text) => parseAmple(text, "--memory"))
    .option("--cpus <count>", "virtual CPUs", (text) => parseCount(text, "--cpus"))
    .option(
      "--cpu-quota <processors>",
      "so many processors' time the machine may use, such as 1.5, however many CPUs it has",
      (text) => parseProcessors(text, "--cpu-quota"),
    )
    .option("--args <line>", "kernel command line, in place of the image's")
    .option("--vmm <name>", "virtual machine monitor")
    .option(
      "--restart <policy>",
      "start it again once it has ended: no, on-failure, on-failure:N, unless-stopped, always; or its guest resets",
      parsePolicy,
    )
    .addOption(
      command
        .createOption("--rm", "remove the machine, and what it wrote to its disk, when it has ended")
        .conflicts("restart"),
    )
    .option(
      "--standby-after <duration>",
      "put the machine aside once nobody has talked to it for so long, such as 10m; whoever does brings it back",
      parseIdle,
    )
    .option(
      "--disk-size <size>",
      "how large a disk the guest sees, such as 20GiB; at least the image's",
      (text) => parseAmple(text, "--disk-size"),
    )
    .option("--agent", "have an agent in the guest: ovm exec, shell and cp")
    .option("--no-agent", "have none, whatever the image says")
    .option("--read-only", "let the guest see a read-only disk")
    .option("--cold-boot-on-mismatch", "boot the base of a snapshot that does not fit this host")
    .option(
      "--resume",
      "go on from the newest snapshot of the image that fits, on this host or, with a policy, in its registry",
    )
    .option("--no-resume", "boot, whatever snapshot there is")
    .option(
      "-v, --volume <volume>",
      "a folder of this host in the guest, HOST:GUEST[:ro], or for a share of the image, SHARE=HOST[:ro]; or a volume as a further disk, NAME[:ro]; again for more",
      (text, before: readonly Attached[] = []) => [...before, parseVolume(text)],
    )
    .option(
      "-p, --publish <port>",
      "have a port of this host lead to one of the guest: [ADDRESS:]HOST:GUEST[/udp]; again for more",
      parseFurther,
    )
    .option("-P, --publish-all", "as many free ports as the image offers ports, each leading to one of them")
    .option("--network <network>", "user: one of the machine's own; none; or the name of one that it joins")
    .addOption(
      command
        .createOption("--outbound <state>", "off: the guest connects to nothing outside")
        .choices(["on", "off"]),
    )
    .option(
      "--allow-outbound <list>",
      "all that the guest may connect to: networks, addresses and names, each with :PORT or not; again for more",
      (text, before: readonly string[] = []) => [...before, ...text.split(",")],
    )
  return defineFirstBootOptions(platformOption(all))
}

function isMode(network: string): network is "user" | "none" {
  return network === "user" || network === "none"
}

function parsePolicy(text: string): string {
  if (/^(no|always|unless-stopped|on-failure(:[1-9][0-9]{0,3})?)$/.test(text)) return text
  throw new OvmError("OVM_USAGE", `--restart: ${JSON.stringify(text)} is no restart policy`, {
    hint: "no, on-failure, on-failure:5, unless-stopped or always",
  })
}

function parseIdle(text: string): number {
  const ms = /^(\d{1,9}(ms|s|m|h))+$/.test(text) ? durationOf(text) : Number.NaN
  if (isIdleTime(ms)) return ms
  throw new OvmError("OVM_USAGE", `--standby-after: ${JSON.stringify(text)} is not a time from 1s to 720h`, {
    hint: "30s, 10m, 1h30m",
  })
}

function collectLabel(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const [name = "", ...value] = text.split("=")
  return { ...before, [name]: value.join("=") }
}

function networkOf({
  network,
  outbound,
  allowOutbound,
  publish,
  publishAll,
}: MachineOptions): Pick<Overrides, "network"> {
  const wanted = {
    ...(network !== undefined && (isMode(network) ? { mode: network } : { name: network })),
    ...(outbound && { outbound: outbound === "on" }),
    ...(allowOutbound && { allow: [...allowOutbound] }),
    ...(publish && { ports: [...publish] }),
    ...(publishAll && { offered: true }),
  }
  return Object.keys(wanted).length > 0 ? { network: wanted } : {}
}

function attachedBy({ volume = [] }: MachineOptions): Pick<Overrides, "volumes" | "shares"> {
  const shares = volume.filter((one) => "source" in one)
  const volumes = volume.filter((one): one is NamedVolume => !("source" in one))
  return { ...(volumes.length > 0 && { volumes }), ...(shares.length > 0 && { shares }) }
}

/** Throws what firstBootOf does. */
export async function startRequest(image: string, options: MachineOptions): Promise<StartRequest> {
  const config = await firstBootOf(options)
  const overrides: Overrides = {
    // Nobody needs then what its guest writes.
    ...(options.rm && { autoRemove: true, ephemeral: true }),
    ...(options.name !== undefined && { name: options.name }),
    ...(options.standbyAfter !== undefined && { standbyAfter: options.standbyAfter }),
    ...(options.label && { labels: { ...options.label } }),
    ...(options.memory !== undefined && { memory: options.memory }),
    ...(options.cpus !== undefined && { vcpus: options.cpus }),
    ...(options.cpuQuota !== undefined && { cpuQuota: options.cpuQuota }),
    ...(options.args !== undefined && { args: options.args }),
    ...(options.vmm !== undefined && { vmm: options.vmm }),
    ...(options.platform !== undefined && { platform: options.platform }),
    ...(options.restart !== undefined && { restart: options.restart }),
    ...(options.diskSize !== undefined && { diskSize: options.diskSize }),
    ...(options.agent !== undefined && { agent: options.agent }),
    ...(options.readOnly && { readOnly: true }),
    ...(options.coldBootOnMismatch && { coldBootOnMismatch: true }),
    ...(options.resume !== undefined && { resume: options.resume }),
    ...(config && { config }),
    ...sshOf(options),
    ...attachedBy(options),
    ...(options.exec && { exec: options.exec }),
    ...networkOf(options),
  }
  // The daemon has another working directory.
  return { manifest: isPath(image) ? resolve(image) : image, overrides }
}
