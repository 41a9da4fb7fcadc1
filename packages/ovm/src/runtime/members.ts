import { isIP } from "node:net"
import { basename, join } from "node:path"
import { isDigest } from "../content/digest.ts"
import { isErrorCode } from "../errors.ts"
import { isObject } from "../objects.ts"
import type { MachineRecord } from "../vmm/machine.ts"
import type { InstanceInfo, StartRequest } from "./interfaces.ts"
import type { InstanceRecord, Lineage, Standby, Turning, WrittenChain } from "./record.ts"
import { isState } from "./states.ts"

// What a daemon reads back was written by one like it; but a disk may be damaged, and a file edited.

/** What is shown of an instance whose record is not ours to use. */
export type Known = Partial<Pick<InstanceInfo, "name" | "image" | "resources" | "created" | "state">>

type Check = (value: unknown) => boolean
type Fields = Readonly<Record<string, unknown>>

const isFlag: Check = (value) => typeof value === "boolean"
const isText: Check = (value) => typeof value === "string"
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isSize: Check = (value) => isCount(value) && value !== 0
const isQuota: Check = (value) => Number.isFinite(value) && (value as number) > 0
const isTime: Check = (value) =>
  isText(value) && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value as string)
const isUuid: Check = (value) =>
  isText(value) && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value as string)
const oneOf =
  (...words: string[]): Check =>
  (value) =>
    words.includes(value as string)
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const all =
  (check: Check): Check =>
  (value) =>
    isObject(value) && Object.values(value).every(check)
const object =
  (members: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) && Object.entries(members).every(([name, check]) => check(value[name]))

const isMac: Check = (value) => isText(value) && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(value as string)
const isPort: Check = (value) => isSize(value) && (value as number) <= 65535
const isForward = object({
  protocol: oneOf("tcp", "udp"),
  address: (value) => isText(value) && isIP(value as string) !== 0,
  host: isPort,
  guest: isPort,
})
const isPorts: Check = (value) => Array.isArray(value) && value.every(isForward)

/** The members of InstanceInfo (spec/api/openapi.yaml) that are of no use if they are not this. */
const MEMBERS: {
  readonly [Name in Exclude<
    keyof InstanceInfo,
    "instance_id" | "reachable" | "degraded" | "volumes" | "devices" | "ssh" | "command"
  >]-?: Check
} = {
  name: (value) => isText(value) && value !== "",
  labels: all(isText),
  state: isState,
  phase: oneOf("resolving", "pulling", "verifying", "preparing", "launching"),
  reason: oneOf("request", "disk-full", "io-error", "snapshot", "standby"),
  image: object({ reference: isText, digest: optional(isDigest) }),
  vmm: object({ name: isText, version: isText, accelerator: isText }),
  resources: object({ vcpus: optional(isSize), memory: optional(isSize), cpu_quota: optional(isQuota) }),
  network: object({
    mode: oneOf("user", "none", "bridge"),
    name: optional(isText),
    address: optional((value) => isText(value) && isIP(value as string) !== 0),
    ipv6_address: optional((value) => isText(value) && isIP(value as string) === 6),
    mac: optional(isMac),
    ports: optional(isPorts),
  }),
  disks: (value) =>
    Array.isArray(value) && value.every(object({ name: optional(isText), size: isSize, read_only: isFlag })),
  shares: (value) =>
    Array.isArray(value) &&
    value.every(object({ name: optional(isText), source: isText, target: isText, read_only: isFlag })),
  timings_ms: all((value) => typeof value === "number" && value >= 0),
  snapshot: isDigest,
  fork: object({ source: isUuid, index: isCount }),
  generation_id: isUuid,
  warnings: (value) => Array.isArray(value) && value.every(isText),
  exit: object({ status: optional(Number.isSafeInteger), reason: isText }),
  standby_after: isSize,
  restart: isText,
  restarts: isSize,
  restarting_at: isTime,
  agent: object({ ready: isFlag, since: optional(isTime), renewed: optional(isTime) }),
  auto_remove: (value) => value === true,
  stop_method: oneOf("guest", "ended", "killed", "already", "cancelled"),
  error: object({ code: isErrorCode, message: isText }),
  created: isTime,
  started: isTime,
  finished: isTime,
}

/**
 * The record that `value` is, of the instance `id` in `directory`; or why it cannot be used, in words. What can be done
 * without is left out where it is not what it should be. No path in it leads out of the directory, whatever it says.
 */
export function recordOf(value: unknown, id: string, directory: string, born: Date): InstanceRecord | string {
  if (!isObject(value)) return "it is not an object"
  if (value.schema !== 1)
    return `its schema is ${JSON.stringify(value.schema)?.slice(0, 20)}, and this version knows 1`
  const { info, machine, lineage } = value
  if (!isObject(info) || info.instance_id !== id) return "it is not of this instance"
  if (!isState(info.state)) return "it has no state"
  const found = machine === undefined ? undefined : machineIn(machine, directory)
  if (machine !== undefined && !found) return "its machine cannot be understood"
  const line = lineageIn(lineage, directory)
  const resting = info.state === "paused" && !found ? standbyIn(value.standby, directory) : undefined
  const asked = requestIn(value.request)
  const known = sound(info)
  return {
    schema: 1,
    info: {
      name: id,
      image: { reference: "" },
      resources: {},
      timings_ms: {},
      warnings: [],
      created: born.toISOString(),
      ...known,
      instance_id: id,
      state: info.state,
    },
    ...(found && { machine: found }),
    ...(line && { lineage: line }),
    ...(resting && { standby: resting }),
    ...(asked && { request: asked }),
    ...(isCount(value.stopBy) && { stopBy: value.stopBy as number }),
    ...(value.again === true && { again: true }),
  }
}

/** What can be made out of it all the same. */
export function knownOf(value: unknown): Known {
  if (!isObject(value) || !isObject(value.info)) return {}
  const { name, image, resources, created, state } = sound(value.info)
  return Object.fromEntries(
    Object.entries({ name, image, resources, created, state }).filter(([, member]) => member !== undefined),
  )
}

/** Without those of its members that are not what they should be. */
function sound(info: Fields): Partial<InstanceInfo> {
  const checks: Readonly<Record<string, Check>> = MEMBERS
  return Object.fromEntries(Object.entries(info).filter(([name, member]) => checks[name]?.(member) ?? true))
}

/** Wherever the directory is now: the root may have been moved. */
function machineIn(value: unknown, directory: string): MachineRecord | undefined {
  const known = object({
    vmm: isText,
    version: isText,
    accelerator: isText,
    bootId: isText,
    pid: isSize,
    startTime: isCount,
    pidNamespace: optional(isText),
  })
  if (!known(value)) return undefined
  const { devices, ...record } = value as MachineRecord
  return { ...record, directory, ...(isDevices(devices) && { devices }) }
}

/** Each file is one of the machine's directory. */
const device = object({
  type: isText,
  name: isText,
  size: optional(isSize),
  file: optional((value) => isText(value) && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value as string)),
})

function isDevices(value: unknown): value is NonNullable<MachineRecord["devices"]> {
  return Array.isArray(value) && value.every(device)
}

function requestIn(value: unknown): StartRequest | undefined {
  const overrides = object({
    name: optional(isText),
    labels: optional(all(isText)),
    vmm: optional(isText),
    args: optional(isText),
    vcpus: optional(isSize),
    memory: optional(isSize),
    diskSize: optional(isSize),
    ephemeral: optional(isFlag),
    autoRemove: optional(isFlag),
    volumes: optional(
      (value) => Array.isArray(value) && value.every(object({ name: isText, readOnly: optional(isFlag) })),
    ),
    shares: optional(
      (value) =>
        Array.isArray(value) &&
        value.every(
          object({
            source: isText,
            target: optional(isText),
            name: optional(isText),
            readOnly: optional(isFlag),
          }),
        ),
    ),
    config: optional(
      object({
        hostname: optional(isText),
        sshKeys: optional((value) => Array.isArray(value) && value.every(isText)),
        userData: optional(isText),
        metaData: optional(isText),
        networkConfig: optional(isText),
        ignition: optional(isText),
      }),
    ),
    ssh: optional(object({ user: optional(isText) })),
    restart: optional(isText),
    exec: optional(
      object({
        command: (value) => Array.isArray(value) && value.length > 0 && value.every(isText),
        environment: optional((value) => Array.isArray(value) && value.every(isText)),
        user: optional(isText),
        directory: optional(isText),
      }),
    ),
    standbyAfter: optional(isSize),
    network: optional(
      object({
        name: optional(isText),
        allow: optional((value) => Array.isArray(value) && value.every(isText)),
      }),
    ),
    agent: optional(isFlag),
  })
  const known = object({ manifest: isText, overrides: optional(overrides) })
  return known(value) ? (value as StartRequest) : undefined
}

function standbyIn(value: unknown, directory: string): Standby | undefined {
  const model = object({
    format: isText,
    machineType: isText,
    cpu: isText,
    vcpus: isSize,
    memory: isSize,
    devices: (value) => Array.isArray(value) && value.every(isText),
  })
  const origin = object({
    vmm: isText,
    version: isText,
    accelerator: isText,
    model,
    diskSize: optional(isSize),
    ram: object({ path: isText }),
    state: isText,
  })
  const known = object({ origin, boot: optional(object({ args: isText })), generationId: optional(isUuid) })
  if (!known(value)) return undefined
  const { origin: from, ...others } = value as Standby
  const inside = (path: string) => join(directory, basename(path))
  return { ...others, origin: { ...from, ram: { path: inside(from.ram.path) }, state: inside(from.state) } }
}

function lineageIn(value: unknown, directory: string): Lineage | undefined {
  const isDescriptor = object({ mediaType: isText, digest: isDigest, size: isCount })
  const isOverlay: Check = (one) => isText(one) || isDescriptor(one)
  if (!object({ base: isDescriptor, index: optional(isDescriptor), top: optional(isText) })(value))
    return undefined
  const { overlays, top, disks, turning, ...rest } = value as Lineage
  const areOverlays: Check = (all) => Array.isArray(all) && all.every(isOverlay)
  const isDisk = object({ name: isText, overlays: areOverlays, top: optional(isText) })
  if (!areOverlays(overlays) || !(disks === undefined || (Array.isArray(disks) && disks.every(isDisk))))
    return undefined
  const goesTo = object({ name: isText, overlay: isText })
  const areTurning: Check = (all) => Array.isArray(all) && all.every(goesTo)
  if (!optional(object({ overlay: optional(isText), disks: areTurning }))(turning)) return undefined
  const inside = (path: string) => join(directory, basename(path))
  const here = ({ overlays, top }: WrittenChain): WrittenChain => ({
    overlays: overlays.map((one) => (typeof one === "string" ? inside(one) : one)),
    ...(top !== undefined && { top: inside(top) }),
  })
  return {
    ...rest,
    ...here({ overlays, ...(top !== undefined && { top }) }),
    ...(disks && { disks: disks.map((disk) => ({ name: disk.name, ...here(disk) })) }),
    ...(turning && { turning: turningIn(turning, inside) }),
  }
}

function turningIn({ overlay, disks }: Turning, inside: (path: string) => string): Turning {
  return {
    ...(overlay !== undefined && { overlay: inside(overlay) }),
    disks: disks.map(({ name, overlay }) => ({ name, overlay: inside(overlay) })),
  }
}
