import type { Command } from "commander"
import { forwardText } from "../../../network/forward.ts"
import type { Degraded, InstanceInfo } from "../../../runtime/interfaces.ts"
import { formatAge, formatDuration, formatSize } from "../../format.ts"
import { findInstance, stateOf } from "../../instances.ts"
import { printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { printListing } from "../../terminal/lines.ts"

interface StatusOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .argument("<instance>", "id, start of an id, or name")
    .option("--json", "print JSON: the InstanceInfo of the runtime API")
    .action(run)
  examples(command, "ovm status web", "ovm status 3f2a --json")
}

async function run(text: string, options: StatusOptions): Promise<void> {
  const { runtime, instance } = await findInstance(text)
  const info = await runtime.status(instance.instance_id)
  if (options.json) printJson(info)
  else printListing(lines(info))
}

function lines(info: InstanceInfo): [string, string | undefined][] {
  const { vmm, resources, network, agent, exit, error } = info
  return [
    ["id", info.instance_id],
    ["name", info.name],
    ["image", info.image.reference],
    ["digest", info.image.digest],
    ["resumed from", info.snapshot],
    ["fork of", info.fork && `${info.fork.source}, index ${info.fork.index}`],
    ["generation id", info.generation_id],
    ["state", stateOf(info)],
    ...(info.degraded ?? []).map((part): [string, string] => [
      "degraded",
      `${LOST[part]}: ovm restart ${info.name}`,
    ]),
    ["vmm", vmm && `${vmm.name} ${vmm.version} (${vmm.accelerator})`],
    ["cpus", resources.vcpus === undefined ? undefined : `${resources.vcpus}`],
    ["cpu quota", resources.cpu_quota === undefined ? undefined : `${resources.cpu_quota} processors' time`],
    ["memory", sizeOf(resources.memory)],
    ["resident", sizeOf(resources.rss)],
    [
      "cpu time",
      resources.cpu_time_ms === undefined ? undefined : `${(resources.cpu_time_ms / 1000).toFixed(1)} s`,
    ],
    ...(info.disks ?? []).map((disk): [string, string] => ["disk", describeDisk(disk)]),
    ...(info.volumes ?? []).map(({ name, read_only }): [string, string] => [
      "volume",
      read_only ? `${name}, read-only` : name,
    ]),
    ...(info.shares ?? []).map((share): [string, string] => ["share", describeShare(share)]),
    ...(info.devices ?? []).map((device): [string, string] => ["device", describeDevice(device)]),
    ["network", network && describeNetwork(network)],
    ...(network?.ports ?? []).map((port): [string, string] => ["port", forwardText(port)]),
    ["command", info.command?.join(" ")],
    ["agent", agent && describeAgent(agent)],
    [
      "renewed",
      (info.snapshot ?? info.fork) &&
        agent &&
        (agent.renewed ?? "not yet: clock and random bytes are its snapshot's"),
    ],
    ...Object.entries(info.labels ?? {}).map(([name, value]): [string, string] => [
      "label",
      value === "" ? name : `${name}=${value}`,
    ]),
    ["created", `${info.created} (${formatAge(info.created)})`],
    ["started", info.started],
    ["finished", info.finished],
    ["timings", timings(info)],
    [
      "exit",
      exit && [exit.reason, exit.status === undefined ? "" : `(status ${exit.status})`].join(" ").trim(),
    ],
    ["restart policy", info.restart],
    [
      "standby after",
      info.standby_after === undefined ? undefined : formatDuration(info.standby_after / 1000),
    ],
    ["removed", info.auto_remove && "once it has ended"],
    ["restarts", info.restarts === undefined ? undefined : `${info.restarts}`],
    ["restarting at", info.restarting_at],
    ["stopped by", info.stop_method],
    ["error", error && `${error.code}: ${error.message}`],
    ...info.warnings.map((warning): [string, string] => ["warning", warning]),
  ]
}

function describeDisk({ name, size, read_only }: NonNullable<InstanceInfo["disks"]>[number]): string {
  return [name, formatSize(size), read_only && "read-only"].filter(Boolean).join(", ")
}

function describeShare(share: NonNullable<InstanceInfo["shares"]>[number]): string {
  const { name, source, target, read_only, mounted, type, reason } = share
  const state = mounted ? undefined : `not mounted${reason === undefined ? " yet" : `: ${reason}`}`
  const which = name === undefined ? "" : `${name}: `
  const how = type === undefined ? undefined : `by ${type}`
  return [`${which}${source} at ${target}`, read_only && "read-only", how, state].filter(Boolean).join(", ")
}

function describeDevice({ type, name, size, path }: NonNullable<InstanceInfo["devices"]>[number]): string {
  const what = `${name} (${type}${size === undefined ? "" : `, ${formatSize(size)}`})`
  return path === undefined ? what : `${what} at ${path}`
}

const LOST: Readonly<Record<Degraded, string>> = {
  network: "what carries its network has ended or was stopped, and nothing gets in or out",
  keeper: "its keeper has ended or was stopped: its console is not kept, nor is its exit status going to be",
  share: "a folder of this host is not where it was, could not be mounted, or is not served",
  tpm: "what emulates its TPM has ended or was stopped: its guest gets no answer from it until it is started again",
}

function describeNetwork(network: NonNullable<InstanceInfo["network"]>): string {
  const { mode, name, address, ipv6_address, mac, outbound, allow } = network
  const reached = allow && (allow.length > 0 ? `to ${allow.join(", ")} only` : "to nothing outside")
  return [
    name ?? mode,
    address,
    ipv6_address,
    mac && `(${mac})`,
    outbound === false ? "without outbound connections" : reached,
  ]
    .filter(Boolean)
    .join(" ")
}

function sizeOf(bytes: number | undefined): string | undefined {
  return bytes === undefined ? undefined : formatSize(bytes)
}

function timings(info: InstanceInfo): string | undefined {
  const known = Object.entries(info.timings_ms).map(([phase, duration]) => `${phase} ${duration} ms`)
  return known.length > 0 ? known.join(", ") : undefined
}

function describeAgent({ ready, since, program }: NonNullable<InstanceInfo["agent"]>): string {
  if (!ready) return "does not answer"
  const another = program && program.name !== "ovm"
  const who = another ? `${program.name} ${program.version ?? ""}`.trim() : ""
  return another ? `${who} answers since ${since}, in place of ovm's` : `answers since ${since}`
}
