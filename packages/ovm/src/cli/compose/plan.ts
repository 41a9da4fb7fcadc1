import { ownName, type Project } from "../../compose/project.ts"
import { OvmError } from "../../errors.ts"
import type { InstanceInfo, NetworkRequest, Runtime } from "../../runtime/interfaces.ts"
import { hasEnded } from "../../runtime/states.ts"
import { parseAmple } from "../size.ts"
import { instanceName, type Member } from "./labels.ts"
import type { WantedMachine } from "./wanted.ts"

/** What is to be done about a machine. */
export type Action =
  | { readonly kind: "make" }
  /** It runs, or is on its way, as it is wanted. */
  | { readonly kind: "keep" | "start" | "replace"; readonly found: InstanceInfo }

/** What makes of what is there what is wanted. */
export function actionFor(wanted: WantedMachine, member: Member | undefined): Action {
  if (!member) return { kind: "make" }
  const { info, definition } = member
  if (definition !== wanted.definition || isHopeless(info)) return { kind: "replace", found: info }
  return { kind: hasEnded(info.state) || info.state === "stopping" ? "start" : "keep", found: info }
}

/** Its first start came to nothing before there was a disk of its own: there is nothing to go on with. */
function isHopeless({ state, vmm, started }: InstanceInfo): boolean {
  return state === "failed" && vmm === undefined && started === undefined
}

/**
 * The volumes that are missing, each with its size in bytes. Throws OVM_VOLUME_UNKNOWN for an external one,
 * OVM_STATE_CONFLICT for one of another size.
 */
export async function missingVolumes(
  project: Project,
  used: ReadonlySet<string>,
  runtime: Runtime,
): Promise<readonly { readonly name: string; readonly size: number }[]> {
  const there = new Map((await runtime.volumes()).map((volume) => [volume.name, volume.size]))
  return Object.entries(project.volumes).flatMap(([key, entry]) => {
    const name = ownName(project.name, key, entry)
    const size = entry.size === undefined ? undefined : parseAmple(entry.size, `volumes.${key}.size`)
    const known = there.get(name)
    if (known === undefined && entry.external && used.has(name))
      throw new OvmError("OVM_VOLUME_UNKNOWN", `there is no volume ${name}, which is external`)
    if (known !== undefined && size !== undefined && !entry.external && known !== size)
      throw new OvmError("OVM_STATE_CONFLICT", `volume ${name} is there with ${known} bytes, not ${size}`, {
        hint: `write the size that it has, or ovm down and ovm volume rm ${name}, which deletes what it holds`,
      })
    return known === undefined && size !== undefined && !entry.external ? [{ name, size }] : []
  })
}

/**
 * The networks that are missing. Throws OVM_NETWORK_UNKNOWN for an external one, OVM_STATE_CONFLICT for one that is
 * defined otherwise.
 */
export async function missingNetworks(
  project: Project,
  used: ReadonlySet<string>,
  runtime: Runtime,
): Promise<readonly NetworkRequest[]> {
  const wanted = Object.entries(project.networks).map(([key, entry]) => ({
    ...entry,
    name: ownName(project.name, key, entry),
  }))
  if (wanted.length === 0) return []
  const there = new Map((await runtime.networks()).map((network) => [network.name, network]))
  return wanted.flatMap(({ name, external, internal = false, ...more }) => {
    const { subnet, ipv6, ipv6_subnet } = more
    const known = there.get(name)
    if (!known && external && used.has(name))
      throw new OvmError("OVM_NETWORK_UNKNOWN", `there is no network ${name}, which is external`)
    const differs =
      known &&
      (known.internal !== internal ||
        (subnet !== undefined && known.subnet !== subnet) ||
        (ipv6 === false && known.ipv6_subnet !== undefined) ||
        (ipv6_subnet !== undefined && known.ipv6_subnet !== ipv6_subnet))
    if (differs && !external)
      throw new OvmError("OVM_STATE_CONFLICT", `network ${name} is there, and defined otherwise`, {
        hint: `ovm network inspect ${name}; ovm down, then ovm network rm ${name}, has it made anew`,
      })
    if (known || external) return []
    const six = { ...(ipv6 !== undefined && { ipv6 }), ...(ipv6_subnet !== undefined && { ipv6_subnet }) }
    return [{ name, internal, ...(subnet !== undefined && { subnet }), ...six }]
  })
}

/** Throws OVM_NAME_IN_USE where a machine that is to be made has the name of one that is not of the project. */
export function refuseStrangers(
  project: Project,
  wanted: readonly WantedMachine[],
  { all, members }: { readonly all: readonly InstanceInfo[]; readonly members: ReadonlyMap<string, Member> },
): void {
  for (const { machine } of wanted) {
    const name = instanceName(project.name, machine)
    const stranger = all.find((one) => one.name === name)
    if (stranger && members.get(machine)?.info.instance_id !== stranger.instance_id)
      throw new OvmError(
        "OVM_NAME_IN_USE",
        `${name} is a machine that does not belong to project ${project.name}`,
        {
          hint: `ovm rename ${name} OTHER, ovm rm ${name}, or another project by -p NAME`,
        },
      )
  }
}
