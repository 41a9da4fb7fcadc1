import { OvmError } from "../errors.ts"
import type { Instance } from "./instance.ts"
import type { Standbys } from "./standby/standbys.ts"

/** How requests come to the instances that they name; each throws OVM_INSTANCE_UNKNOWN for one that is not there. */
export class Reach {
  constructor(
    private readonly instances: ReadonlyMap<string, Instance>,
    private readonly standbys: Standbys,
  ) {}

  get(id: string): Instance {
    const instance = this.instances.get(id)
    if (instance) return instance
    throw new OvmError("OVM_INSTANCE_UNKNOWN", `there is no instance ${JSON.stringify(id.slice(0, 100))}`, {
      hint: "ovm ps --all",
    })
  }

  /** One that is on standby is put aside to the end first. */
  async aside(id: string): Promise<Instance> {
    const instance = this.get(id)
    if (instance.standby) await instance.snapshotting
    return instance
  }

  /** One that somebody talks to, which is on standby no more. */
  async awake(id: string): Promise<Instance> {
    const instance = this.get(id)
    await this.standbys.awake(instance)
    return instance
  }

  /** Until `work` is over somebody talks to it. */
  async talking<T>(id: string, work: (instance: Instance) => Promise<T>): Promise<T> {
    const instance = this.get(id)
    instance.talkers++
    try {
      return await work(await this.awake(id))
    } finally {
      instance.talkers--
      instance.talkedAt = performance.now()
    }
  }
}
