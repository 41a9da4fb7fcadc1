import { createHash } from "node:crypto"
import { resolve } from "node:path"
import { pointerToken } from "../../artifact/json.ts"
import { durationOf } from "../../compose/duration.ts"
import {
  commandOf,
  dependenciesOf,
  environmentOf,
  type MachineEntry,
  ownName,
  type Project,
} from "../../compose/project.ts"
import { OvmError } from "../../errors.ts"
import { parseForward } from "../../network/forward.ts"
import { isPath } from "../../registry/reference.ts"
import type { MainCommand, StartRequest } from "../../runtime/interfaces.ts"
import { parseVolume } from "../../volume-text.ts"
import { nameFor } from "../digits.ts"
import { type MachineOptions, startRequest } from "../machine-options.ts"
import { parseAmple } from "../size.ts"
import { digestOfName, openStoreToRead } from "../store.ts"
import { instanceName, LABELS } from "./labels.ts"

/** A machine as it is to be. */
export interface WantedMachine {
  readonly machine: string
  readonly entry: MachineEntry
  readonly image: string
  readonly definition: string
  readonly request: StartRequest
}

/** The image of a machine: a path is relative to the file. */
export async function imageOf(project: Project, { image }: MachineEntry): Promise<string> {
  return isPath(image) ? resolve(project.base, image) : await nameFor(image)
}

/**
 * What POST /start is told of the machine, whose image is here if it can be: its digest is part of the definition.
 * Throws OVM_COMPOSE_INVALID, and what reading a file of its can throw.
 */
export async function wantedOf(
  project: Project,
  machine: string,
  entry: MachineEntry,
): Promise<WantedMachine> {
  const image = await imageOf(project, entry)
  const at = `/machines/${pointerToken(machine)}`
  const plain = await startRequest(image, optionsOf(project, entry, at))
  const needs = [...dependenciesOf(entry).keys()]
  const definition = digestOf([plain, await digestHere(image)])
  const labels = {
    ...plain.overrides?.labels,
    [LABELS.project]: project.name,
    [LABELS.machine]: machine,
    [LABELS.definition]: definition,
    ...(needs.length > 0 && { [LABELS.needs]: needs.join(",") }),
  }
  const overrides = { ...plain.overrides, name: instanceName(project.name, machine), labels }
  return { machine, entry, image, definition, request: { ...plain, overrides } }
}

async function digestHere(image: string): Promise<string | undefined> {
  if (isPath(image)) return undefined
  await using store = await openStoreToRead()
  return await digestOfName(store, image)
}

function digestOf(value: unknown): string {
  return `sha256:${createHash("sha256").update(JSON.stringify(value)).digest("hex")}`
}

/** As the options of `ovm run` would say it. `at` is the place in the file. */
function optionsOf(project: Project, entry: MachineEntry, at: string): MachineOptions {
  const { resources = {}, network = {}, config = {}, labels = {} } = entry
  const { mode, outbound, allow } = typeof network === "string" ? { mode: network } : network
  const size = (text: string | undefined, place: string) => {
    try {
      return text === undefined ? undefined : parseAmple(text, place)
    } catch (thrown) {
      if (!(thrown instanceof OvmError)) throw thrown
      return project.refuse(`${at}/resources/${place}`, thrown.message)
    }
  }
  const path = (text: string | undefined) => (text === undefined ? undefined : resolve(project.base, text))
  const volumes = entry.volumes?.map((text) => {
    const found = parseVolume(text, project.base)
    if ("source" in found) return found
    return { ...found, name: ownName(project.name, found.name, project.volumes[found.name] ?? {}) }
  })
  const [shared] = entry.networks ?? []
  return defined({
    cpus: resources.cpus,
    cpuQuota: resources.cpu_quota,
    memory: size(resources.memory, "memory"),
    diskSize: size(resources.disk_size, "disk_size"),
    publish: entry.ports?.map((text) => parseForward(`${text}`)),
    volume: volumes,
    network: shared === undefined ? mode : ownName(project.name, shared, project.networks[shared] ?? {}),
    outbound: outbound === undefined ? undefined : outbound ? "on" : "off",
    allowOutbound: allow,
    hostname: config.hostname,
    sshKey: config.ssh_keys?.map((text) => (text === "agent" ? text : resolve(project.base, text))),
    sshUser: config.ssh_user,
    userData: path(config.user_data),
    metaData: path(config.meta_data),
    networkConfig: path(config.network_config),
    ignition: path(config.ignition),
    exec: mainCommandOf(project, entry, at),
    restart: entry.restart,
    standbyAfter: entry.standby_after === undefined ? undefined : durationOf(entry.standby_after),
    agent: entry.agent,
    platform: entry.platform,
    resume: entry.resume,
    readOnly: entry.read_only,
    args: entry.args,
    vmm: entry.vmm,
    label: Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, `${value}`])),
  })
}

/** What the machine is for. A variable that is not set here is refused, as one in a value is. */
function mainCommandOf(project: Project, entry: MachineEntry, at: string): MainCommand | undefined {
  const { command, user, working_dir } = entry
  if (command === undefined) return undefined
  const environment = environmentOf(entry).map(([name, value = project.variable(name)], index) => {
    if (value !== undefined) return `${name}=${value}`
    const place = Array.isArray(entry.environment) ? index : pointerToken(name)
    return project.refuse(`${at}/environment/${place}`, `${name} has no value, and is not set here`)
  })
  return {
    command: [...commandOf(command)],
    ...(environment.length > 0 && { environment }),
    ...(user !== undefined && { user: `${user}` }),
    ...(working_dir !== undefined && { directory: working_dir }),
  }
}

type Defined<T> = { readonly [Name in keyof T]?: Exclude<T[Name], undefined> }

/** Without the members that are undefined. */
function defined<T extends object>(members: T): Defined<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Defined<T>
}
