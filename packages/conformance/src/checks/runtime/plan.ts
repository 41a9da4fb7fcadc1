import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import type { Changes } from "../../artifact/make.ts"
import { type Check, type CheckCall, fail, must, type Profile, skip } from "../../check.ts"
import { type ApiError, errorOf, goodValue } from "../../subject/answers.ts"
import type { Harness } from "../../subject/harness.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { skipsLacks } from "../../subject/vmms.ts"

/** A runtime in a check: what it starts is gone afterwards. */
export interface Scene extends CheckCall {
  readonly runtime: Runtime
  /** Starts the suite's guest, with these arguments of its own; its ID, once it runs. */
  boot(args?: string, overrides?: object): Promise<string>
  /** Asks for a start that has to succeed; the ID. */
  start(body: object): Promise<string>
  /** Makes an instance that does not run, of the suite's guest or what is at a path. */
  create(overrides?: object, manifest?: string): Promise<string>
  /** Path of a layout with a machine that is the suite's guest but for the changes; under a tag, if there is one. */
  machine(changes: Changes, tag?: string): Promise<string>
  /** Has an instance that was made otherwise be gone afterwards too; its ID. */
  keep(id: string): string
}

export interface Plan {
  readonly name: string
  readonly profile?: Profile
  readonly covers: readonly string[]
  readonly slow?: boolean
  readonly waits?: boolean
  readonly needs?: string
  run(scene: Scene): Promise<void>
}

/** How often the suite's guest counts, unless a check says otherwise. */
export const TICK_MS = 50

interface Started {
  readonly instance_id: string
  readonly status: string
}

/** What starts and ends the runtime; skips where it is served already. */
export function harnessOf({ harness }: Runtime): Harness {
  return harness ?? skip("the runtime was not started by the suite: see --start")
}

/** The error of an instance that must not be made. */
export function refusedCreate(runtime: Runtime, code: string | RegExp, body: object): Promise<ApiError> {
  return runtime.refused("POST /instances", code, "", { body })
}

export function onRuntime(plan: Plan): Check<Runtime> {
  return {
    name: `runtime/${plan.name}`,
    profile: plan.profile ?? "core",
    covers: plan.covers,
    ...(plan.slow && { slow: true }),
    ...(plan.waits && { waits: true }),
    ...(plan.needs !== undefined && { needs: plan.needs }),
    async run(subject, call) {
      const made: string[] = []
      try {
        await plan.run(sceneOf(subject.with(call.signal), call, made))
      } finally {
        await removed(subject, made)
      }
    },
  }
}

let layouts = 0

/** What a check does with a runtime; the IDs of what it starts or makes come into `made`. */
export function sceneOf(runtime: Runtime, call: CheckCall, made: string[]): Scene {
  const kept = ({ instance_id }: Pick<Started, "instance_id">) => {
    made.push(instance_id)
    return instance_id
  }
  /** Skips where none of the runtime's VMMs has what is asked for. */
  const had = async (operation: "POST /start" | "POST /instances", body: object): Promise<Started> => {
    const [method, path] = operation.split(" ") as [string, string]
    const reply = await runtime.raw(method, path, { body })
    if (reply.status >= 400) {
      const error = errorOf(operation, reply)
      await skipsLacks(runtime, error, body)
      fail(`${operation} was refused with ${error.code}: ${error.message.slice(0, 300)}`)
    }
    return goodValue(operation, reply) as Started
  }
  const scene: Scene = {
    folder: call.folder,
    signal: call.signal,
    runtime,
    start: async (body) => {
      const answer = await had("POST /start", body)
      must(/^(starting|running)$/.test(answer.status), `a start was answered with ${answer.status}`)
      return kept(answer)
    },
    create: async (overrides, manifest = runtime.guest) =>
      kept(await had("POST /instances", { manifest, overrides })),
    machine: (changes, tag) =>
      writeLayout(join(call.folder, `machine-${layouts++}`), guestArtifact(undefined, changes), tag),
    keep: (id) => kept({ instance_id: id }),
    boot: async (args = "", overrides = {}) => {
      const line = `console=ttyS0 ${args} tick_ms=${TICK_MS}`
      const body = { manifest: runtime.guest, overrides: { args: line, ...overrides } }
      const id = await scene.start(body)
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      return id
    },
  }
  return scene
}

/** Whatever a check came to, and although its own time may be over. */
async function removed(subject: Runtime, ids: readonly string[]): Promise<void> {
  const runtime = subject.with(AbortSignal.timeout(20_000))
  for (const id of ids)
    await runtime.raw("DELETE", `/instances/${id}`, { query: "force=true" }).catch(() => {})
}
