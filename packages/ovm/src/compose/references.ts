import { pointerToken } from "../artifact/json.ts"
import { OvmError } from "../errors.ts"
import { hostSide, parseForward, type WantedForward } from "../network/forward.ts"
import { type Attached, parseVolume } from "../volume-text.ts"
import { durationOf, isIdleTime } from "./duration.ts"
import { nearest } from "./nearest.ts"
import { inOrder } from "./order.ts"
import { dependenciesOf, type MachineEntry, ownName, PROBES, type ProjectFile } from "./project.ts"

type Tell = (pointer: string, message: string) => void

/** What is wrong with a file that its schema cannot know: what it names, and how its parts go together. */
export function checkReferences(file: ProjectFile, project: string, tell: Tell): void {
  const { machines, volumes = {} } = file
  for (const [name, entry] of Object.entries(volumes))
    if (!entry?.external && entry?.size === undefined)
      tell(`/volumes/${pointerToken(name)}`, "it has no size, and is not external")
  for (const [name, machine] of Object.entries(machines)) {
    const tellOf: Tell = (place, message) => tell(`/machines/${pointerToken(name)}${place}`, message)
    checkDependencies(name, machine, machines, tellOf)
    checkVolumes(machine, file, project, tellOf)
    checkNetwork(machine, file, tellOf)
    checkHealth(machine, portsOf(machine, tellOf), tellOf)
    checkConfig(machine, tellOf)
    checkCommand(machine, tellOf)
    checkStandby(machine, tellOf)
  }
  checkTwice(machines, tell)
  const needs = Object.entries(machines).map(([name, one]) => [name, dependenciesOf(one).keys()] as const)
  const found = inOrder(new Map(needs))
  if ("cycle" in found)
    tell(
      `/machines/${pointerToken(found.cycle[0] ?? "")}/depends_on`,
      `machines wait for each other: ${found.cycle.join(" → ")}`,
    )
}

function checkDependencies(
  name: string,
  machine: MachineEntry,
  machines: Readonly<Record<string, MachineEntry>>,
  tell: Tell,
): void {
  for (const [other, condition] of dependenciesOf(machine)) {
    if (other === name) continue // It is a circle.
    if (!Object.hasOwn(machines, other)) tell("/depends_on", absent("machine", other, machines))
    else if (condition === "service_healthy" && !machines[other]?.healthcheck)
      tell("/depends_on", `${other} has no healthcheck, and is never healthy`)
    else if (condition === "service_completed_successfully" && mayNotEnd(machines[other]))
      tell("/depends_on", `${other} has a restart policy, and is never completed`)
  }
}

function mayNotEnd(machine: MachineEntry | undefined): boolean {
  return machine?.restart === "always" || machine?.restart === "unless-stopped"
}

function checkVolumes(machine: MachineEntry, file: ProjectFile, project: string, tell: Tell): void {
  const volumes = file.volumes ?? {}
  const serials = new Map<string, string>()
  const places = new Set<string>()
  for (const [at, text] of (machine.volumes ?? []).entries()) {
    const found = attachedBy(text, (message) => tell(`/volumes/${at}`, message))
    if (!found) continue
    if ("source" in found) {
      if (machine.agent === false)
        tell(`/volumes/${at}`, "a folder is mounted by the agent that the machine is to have none of")
      const place = "target" in found ? found.target : found.name
      if (places.has(place)) tell(`/volumes/${at}`, `there is another one at ${place}`)
      places.add(place)
      continue
    }
    const { name } = found
    const entry = Object.hasOwn(volumes, name) ? (volumes[name] ?? {}) : undefined
    if (!entry) tell(`/volumes/${at}`, absent("volume", name, volumes))
    else {
      // By the beginning of its name the guest knows it (OVMS-VOL-003).
      const serial = ownName(project, name, entry).slice(0, 20)
      const twin = serials.get(serial)
      if (twin !== undefined)
        tell(`/volumes/${at}`, `the guest could not tell ${twin} and ${name} apart: both are ${serial}`)
      serials.set(serial, name)
    }
  }
}

function attachedBy(text: string, tell: (message: string) => void): Attached | undefined {
  try {
    return parseVolume(text)
  } catch (thrown) {
    if (!(thrown instanceof OvmError)) throw thrown
    tell(thrown.message.replace(/^--volume: /, ""))
    return undefined
  }
}

/** What a machine has that is in a network with others (spec/networks.md, OVMS-NET-010). */
function checkNetwork({ network, networks }: MachineEntry, file: ProjectFile, tell: Tell): void {
  const [name] = networks ?? []
  if (name === undefined) return
  if (!Object.hasOwn(file.networks ?? {}, name))
    tell("/networks", absent("network", name, file.networks ?? {}))
  if (network !== undefined) tell("/network", "the machine is in one of networks")
}

/** The ports of the guest that can be connected to from here. */
function portsOf({ ports = [] }: MachineEntry, tell: Tell): ReadonlySet<number> {
  const open = new Set<number>()
  for (const [at, text] of ports.entries())
    try {
      const { guest, protocol } = parseForward(`${text}`)
      if (protocol === "tcp") open.add(guest)
    } catch (thrown) {
      if (!(thrown instanceof OvmError)) throw thrown
      tell(`/ports/${at}`, thrown.message.replace(/^--publish /, ""))
    }
  return open
}

/** One port of the host for two machines: the second one could not start. */
function checkTwice(machines: Readonly<Record<string, MachineEntry>>, tell: Tell): void {
  const taken = new Map<string, string>()
  for (const [name, { ports = [] }] of Object.entries(machines))
    for (const [at, text] of ports.entries()) {
      const { address, host, protocol } = forwardIn(text) ?? {}
      if (address === undefined || host === undefined) continue
      const place = hostSide({ address, host })
      const other = taken.get(`${place}/${protocol}`)
      if (other !== undefined)
        tell(`/machines/${pointerToken(name)}/ports/${at}`, `${other} has ${place} already`)
      taken.set(`${place}/${protocol}`, name)
    }
}

function forwardIn(text: string | number): WantedForward | undefined {
  try {
    return parseForward(`${text}`)
  } catch {
    return undefined // It was told of.
  }
}

function checkHealth({ healthcheck }: MachineEntry, open: ReadonlySet<number>, tell: Tell): void {
  if (!healthcheck) return
  const kinds = PROBES.filter((kind) => healthcheck[kind] !== undefined)
  if (kinds.length !== 1)
    tell("/healthcheck", `it is one of ${PROBES.join(", ")}, not ${kinds.length} of them`)
  const port = healthcheck.tcp ?? healthcheck.http?.port
  if (port !== undefined && !open.has(port))
    tell("/healthcheck", `port ${port} of the guest is not in ports, and cannot be connected to`)
}

function checkConfig({ config = {} }: MachineEntry, tell: Tell): void {
  const { ignition, meta_data, ...others } = config
  if (ignition !== undefined && Object.keys({ ...others, ...(meta_data && { meta_data }) }).length > 0)
    tell("/config/ignition", "it stands in place of all the others")
  if (meta_data !== undefined && (config.hostname ?? config.ssh_keys ?? config.ssh_user) !== undefined)
    tell("/config/meta_data", "it stands in place of hostname, ssh_keys and ssh_user")
}

function checkCommand(machine: MachineEntry, tell: Tell): void {
  const { command, agent } = machine
  for (const key of ["environment", "user", "working_dir"] as const)
    if (command === undefined && machine[key] !== undefined)
      tell(`/${key}`, "it is of a command, and the machine has none")
  if (command !== undefined && agent === false)
    tell("/command", "it is run by the agent that the machine is to have none of")
}

/** What would be refused when it is started (OVMS-STA-068). */
function checkStandby({ standby_after, volumes = [], networks, command }: MachineEntry, tell: Tell): void {
  if (standby_after === undefined) return
  if (!isIdleTime(durationOf(standby_after))) tell("/standby_after", "it is not a time from 1s to 720h")
  const what =
    (volumes.length > 0 && "volumes") ||
    (networks && "a network that machines share") ||
    (command !== undefined && "a command of its own")
  if (what) tell("/standby_after", `a machine with ${what} is not put on standby`)
}

function absent(what: string, name: string, known: object): string {
  const near = nearest(name, Object.keys(known))
  return `there is no ${what} ${JSON.stringify(name.slice(0, 100))} in this file${near ? `; did you mean ${near}?` : ""}`
}
