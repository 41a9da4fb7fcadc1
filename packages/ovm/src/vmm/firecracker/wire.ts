import { closeSync, rmSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { FILTER_SOCKET } from "../../network/filter.ts"
import { NetworkLink } from "../../network/link.ts"
import { inOwnNetwork, type Leads, ownNetworkEnds, PLUG_SOCKET } from "../../network/own-interface.ts"
import { findPasst } from "../../network/passt.ts"
import type { MachineRecord } from "../machine.ts"
import type { GuestModel, LaunchPlan } from "../plan.ts"
import { startLink } from "../process/added-ports.ts"
import { connectResumed, hasPorts } from "../process/connect-resumed.ts"
import { askFilter } from "../process/filter-socket.ts"
import { spawnLinked } from "../process/linked.ts"
import { loses } from "../process/lost.ts"
import { connectionIn } from "../process/socket.ts"
import { agentInFirecracker } from "./agent.ts"
import { macInFirecracker } from "./network.ts"

interface Wired {
  readonly plan: LaunchPlan
  readonly model: Pick<GuestModel, "devices">
  /** It goes on from a snapshot. */
  readonly resumed?: true
}

/**
 * What a Firecracker's interface leads to, unless that is a bridge: in a network of the process's own, to a filter and
 * a passt as QEMU's does, or nowhere.
 */
export class Wire implements Disposable {
  readonly #link: NetworkLink | undefined
  readonly #leads: Leads | undefined

  /** Throws OVM_HOST_FAILED if the passt that was there for the check is gone, OVM_TOO_MANY. */
  constructor(private readonly wired: Wired) {
    const { plan, model, resumed } = wired
    const { network, directory } = plan
    for (const name of [FILTER_SOCKET, PLUG_SOCKET]) rmSync(join(directory, name), { force: true })
    if (macInFirecracker(model.devices) === undefined || (network?.bridge && !resumed)) return
    this.#leads = "loose"
    if (network?.mode !== "user") return
    const program = findPasst()
    if (program === undefined) throw new OvmError("OVM_HOST_FAILED", "passt is not on PATH any more")
    this.#link = new NetworkLink(program, directory)
    this.#leads = resumed ? "down" : "up"
  }

  /** As spawnLinked, with the interface. */
  async spawn(argv: readonly string[]) {
    const { plan } = this.wired
    if (this.#leads === undefined) return await spawnLinked(undefined, argv, plan)
    return await spawnLinked(this.#link, inOwnNetwork(argv, this.#leads), plan, ownNetworkEnds())
  }

  /** Starts what carries the frames, once. Throws what startLink throws. */
  async start(): Promise<void> {
    const { network, directory } = this.wired.plan
    if (this.#link && network) await startLink(this.#link, directory, network)
  }

  /**
   * To be called once a guest that goes on runs: settles when its ports are open. The link of one with the way to an
   * agent is still down then (OVMS-SNP-170). Undefined for one that is connected to nothing.
   */
  connect(): Promise<void> | undefined {
    const { plan, model } = this.wired
    const agent = agentInFirecracker(model.devices)
    return this.#link && connectResumed(this.#link, plan, agent ? undefined : () => plugIn(plan.directory))
  }

  /** Whether ports lead into it. */
  get ports(): boolean {
    return hasPorts(this.wired.plan)
  }

  [Symbol.dispose](): void {
    this.#link?.[Symbol.dispose]()
  }
}

/** From here on frames pass the interface of a guest that goes on. */
export async function plugIn(directory: string): Promise<void> {
  const connection = await connectionIn(directory, PLUG_SOCKET)
  if (connection !== undefined) closeSync(connection)
}

/** Settles with true once what carries the frames of a machine has ended though that lives; see `loses`. */
export async function losesWire(record: MachineRecord, signal: AbortSignal): Promise<boolean> {
  const there = async () => {
    // One that does not answer is there.
    const list = await askFilter(record.directory, "list").catch(() => [])
    return list !== undefined
  }
  return await loses(record, there, signal)
}
