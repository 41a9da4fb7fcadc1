import { join } from "node:path"
import { ChosenPorts } from "../network/chosen-ports.ts"
import { Adoption } from "./adoption.ts"
import { goOn } from "./asked-again.ts"
import { Attachments } from "./attachments.ts"
import { Ending, type Log } from "./ending.ts"
import { Executions } from "./executions.ts"
import type { Instance } from "./instance.ts"
import { DEFAULTS, defaultsWithin, type Limits } from "./limits.ts"
import { Networks } from "./networks.ts"
import type { LocalRuntimeOptions } from "./options.ts"
import { Recovery } from "./recover.ts"
import { Removals } from "./removals.ts"
import { Restarts } from "./restarts.ts"
import { Sandboxes } from "./sandbox/sandboxes.ts"
import { Addresses } from "./shared-network.ts"
import { Standbys } from "./standby/standbys.ts"
import { Starts } from "./start.ts"
import type { StartsContext } from "./starts-context.ts"
import { VolumeStore } from "./volumes.ts"
import { Slots } from "./warm/slots.ts"
import { watchMachine } from "./watch-machine.ts"

interface Shared {
  /** By id: all parts see the same. */
  readonly instances: Map<string, Instance>
  readonly limits: Limits
  readonly told: Log
  readonly remove: (instanceId: string, options?: { readonly force?: boolean }) => Promise<void>
}

/** What a runtime is made of. */
export interface Assembly {
  readonly slots: Slots
  readonly starts: Starts
  /** What starts are made with. */
  readonly context: StartsContext
  readonly restarts: Restarts
  readonly removals: Removals
  readonly ending: Ending
  readonly adoption: Adoption
  readonly recovery: Recovery
  readonly volumes: VolumeStore
  readonly networks: Networks
  readonly chosenPorts: ChosenPorts
  readonly attachments: Attachments
  readonly executions: Executions
  readonly sandboxes: Sandboxes
  readonly standbys: Standbys
}

/** Makes the parts of a runtime, each with those that it needs. Nothing is read or begun yet. */
export function assemble(
  options: LocalRuntimeOptions,
  { instances, limits, told, remove }: Shared,
): Assembly {
  const log = (event: string, fields: Record<string, unknown>) => options.log?.(event, fields)
  const defaults = defaultsWithin({ ...DEFAULTS, ...options.defaults }, limits)
  const volumes = new VolumeStore(join(options.root, "volumes"), instances)
  const networks = new Networks(options.root, instances, log)
  const addresses = new Addresses(networks, instances)
  const chosenPorts = new ChosenPorts()
  const kept = { volumes, addresses, chosenPorts, limits, defaults }
  const slots = new Slots({ ...options, ...kept })
  const ending = new Ending(instances, options.images, told, defaults.graceMs)
  const onMachine = (instance: Instance) => watchMachine(instance, { adoption, ending, networks, log: told })
  const adoption = new Adoption({ vmms: options.vmms, onMachine, log: told })
  const restarts = new Restarts(instances, (one, count) => starts.again(one, {}, count), told)
  const removals = new Removals(instances, (id) => remove(id), told)
  const onInstance = (instance: Instance) => {
    restarts.follow(instance)
    removals.follow(instance)
    standbys.follow(instance)
  }
  const context: StartsContext = {
    ...options,
    ...kept,
    networks,
    running: instances,
    slots,
    ending,
    onMachine,
    onInstance,
    told,
  }
  const starts = new Starts(context)
  const recovery = new Recovery({
    folder: options.instances,
    instances,
    adoption,
    onInstance,
    onMachine,
    onStandby: (instance) => standbys.recover(instance),
    onRestart: (instance) => void goOn(starts, instance, told).catch(() => {}),
    log,
    told,
  })
  const [attachments, executions] = [new Attachments(), new Executions()]
  const standbys = new Standbys({ ...context, attached: (id) => attachments.has(id) })
  const sandboxes = new Sandboxes({
    instances,
    starts,
    use: (reference) => slots.use(reference),
    remove: (id) => remove(id, { force: true }),
  })
  const lives = { starts, restarts, removals, ending, adoption, recovery }
  const inside = { attachments, executions, sandboxes, standbys }
  return { ...lives, ...inside, context, slots, volumes, networks, chosenPorts }
}

/** Lets go of all machines, which go on; what is still starting is cancelled, slots and sandboxes are ended. */
export async function disband(parts: Assembly, instances: readonly Instance[]): Promise<void> {
  await parts.sandboxes.close()
  for (const part of [parts.networks, parts.standbys, parts.adoption, parts.restarts, parts.removals])
    part.close()
  for (const instance of instances) {
    instance.starting.abort()
    instance.agent?.close()
    instance.machine?.detach()
  }
  await Promise.all([parts.starts.settled(), parts.slots.close()])
  await Promise.all(instances.map((instance) => instance.settled()))
}
