import type { Call } from "../../content/interfaces.ts"
import { toOvmError } from "../../errors.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import type { LaunchPlan, Unsupported } from "../plan.ts"
import { endedMachine } from "../process/ended.ts"
import { isAlive } from "../process/identity.ts"
import { unreachable } from "../process/machine.ts"
import type { Capabilities, Vmm } from "../vmm.ts"
import { Adapter } from "./adapter.ts"
import { capabilitiesIn, findingsIn } from "./answers.ts"
import { launchExec } from "./launch.ts"
import { checkLink, framesOf } from "./link.ts"
import { ExecMachine, exitOfExec } from "./machine.ts"
import { checkWords, planFor } from "./request.ts"

/** The VMM `name` by an adapter outside of this program (spec/runtimes/adapter.md), started when it is needed. */
export function outside(name: string): Vmm {
  return new Exec(name)
}

class Exec implements Vmm {
  readonly #adapter: Adapter

  constructor(readonly name: string) {
    this.#adapter = new Adapter(name)
  }

  async capabilities(): Promise<Capabilities> {
    return capabilitiesIn(this.name, await this.#adapter.ask("capabilities"))
  }

  async check(plan: LaunchPlan): Promise<readonly Unsupported[]> {
    const { network, disk } = plan
    // Made at the launch.
    const overlay = disk?.writable ? (disk.overlay ?? plan.directory) : undefined
    const answer = await this.#adapter.ask("check", { plan: planFor(plan, overlay, framesOf(network)) })
    return [...checkWords(plan), ...checkLink(network), ...findingsIn(this.name, answer)]
  }

  async launch(plan: LaunchPlan, call: Call = {}): Promise<Machine> {
    return await launchExec(this.#adapter, plan, await this.check(plan), call)
  }

  async close(): Promise<boolean> {
    return await this.#adapter.close()
  }

  async adopt(record: MachineRecord): Promise<Machine> {
    const ended = () => endedMachine(record, (of, status) => exitOfExec(this.#adapter, of, status))
    if (!(await isAlive(record))) return ended()
    try {
      return await ExecMachine.watch(this.#adapter, record)
    } catch (error) {
      if (!(await isAlive(record))) return ended()
      throw unreachable(record, toOvmError(error))
    }
  }
}
