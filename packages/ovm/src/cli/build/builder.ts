import { randomUUID } from "node:crypto"
import { execOutput } from "../../api/client.ts"
import type { StepWork } from "../../build/planned.ts"
import { TAR_END } from "../../content/archive/tar.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import { removed } from "../kept.ts"
import { upOf } from "../launch.ts"
import { printBytes } from "../output.ts"

/** By which the machines of a build are found. */
export const BUILD_LABEL = "ovms.build"
/** How long a machine that boots may take to its agent, in ms: what the API bears. */
const BOOT_MS = 600_000

export interface BuilderOptions {
  /** What the machine is started from, or the snapshot that it goes on from. */
  readonly reference: string
  /** Of the build. */
  readonly id: string
  /** Whether `reference` is a snapshot: it has memory, CPUs and arguments. */
  readonly resumes?: boolean
  readonly memory?: number
  readonly cpus?: number
  /** Of its kernel, in place of the image's. */
  readonly args?: string
}

/** A machine that steps are done in. It is gone once this is disposed of. */
export class Builder implements AsyncDisposable {
  private constructor(
    private readonly runtime: Runtime,
    private readonly instance: string,
    /** What it was started from. */
    readonly reference: string,
    /** The image that has all that was written, but for what was since. */
    private below: string,
  ) {}

  /** `below` is the image that the machine is of. Throws what a start can, and OVM_AGENT_UNAVAILABLE. */
  static async start(
    runtime: Runtime,
    below: string,
    { reference, id, resumes = false, memory, cpus, args }: BuilderOptions,
    call: Call,
  ): Promise<Builder> {
    const overrides = {
      name: `build-${randomUUID().slice(0, 8)}`,
      labels: { [BUILD_LABEL]: id },
      agent: true,
      // What was never done in it is not to be missing.
      ...(resumes ? { coldBootOnMismatch: false } : { resume: false }),
      // Nobody needs what it has written but for the layers that are made of it.
      ephemeral: true,
      autoRemove: true,
      network: { mode: "user" as const },
      ...(memory !== undefined && { memory }),
      ...(cpus !== undefined && { vcpus: cpus }),
      ...(args !== undefined && { args }),
    }
    const { instance_id } = await runtime.start({ manifest: reference, overrides }, call)
    const builder = new Builder(runtime, instance_id, reference, below)
    try {
      await upOf(runtime, instance_id, call)
      const { ready } = await runtime.ready(instance_id, { ...call, timeoutMs: BOOT_MS })
      if (ready) return builder
      throw new OvmError("OVM_AGENT_UNAVAILABLE", `the machine of ${reference} has no agent that answers`, {
        hint: `ovm run --agent ${reference} shows how far it comes`,
      })
    } catch (thrown) {
      await builder[Symbol.asyncDispose]()
      throw thrown
    }
  }

  /** Runs a command, its output and errors on our standard error, and gives its exit status. */
  async run(
    { command, environment, user, directory }: Extract<StepWork, { kind: "run" }>,
    { signal }: Call,
  ): Promise<number> {
    const request = {
      command: [...command],
      environment: [...environment],
      directory,
      ...(user !== undefined && { user }),
    }
    const how = { attachment: randomUUID(), ...(signal && { signal }) }
    const pieces = execOutput(await this.runtime.execStream(this.instance, request, how))
    for (;;) {
      const next = await pieces.next()
      if (next.done) return next.value.exit_code
      await printBytes(next.value.bytes, "stderr")
    }
  }

  /** Whether a folder is at the path. */
  async hasFolder(path: string, call: Call): Promise<boolean> {
    try {
      // An empty archive says whether it could go there.
      await this.put(
        path,
        (async function* () {
          yield TAR_END
        })(),
        call,
      )
      return true
    } catch (thrown) {
      if (thrown instanceof OvmError && /there is no such folder/.test(thrown.message)) return false
      throw thrown
    }
  }

  /** Unpacks an archive into a folder. */
  async put(path: string, content: Bytes, call: Call): Promise<void> {
    await this.runtime.writeFiles(this.instance, { path, content, ...call })
  }

  /** What is at a path, as an archive. Throws OVM_FILE_UNREADABLE. */
  async get(path: string, call: Call): Promise<Bytes> {
    return await this.runtime.readFiles(this.instance, { path, ...call })
  }

  /** Makes a layer of what was written since the last one, and an image with it that is called `name`. */
  async commit(name: string, call: Call): Promise<number> {
    const { size } = await this.runtime.commit(this.instance, { name, freeze: true, onto: this.below }, call)
    this.below = name
    return size
  }

  /** Takes a snapshot of it, which is called by that tag of the repository that it was started from. */
  async snapshot(tag: string, call: Call): Promise<void> {
    await this.runtime.snapshot({ instance_id: this.instance, tag }, call)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removed(this.runtime, this.instance)
  }
}
