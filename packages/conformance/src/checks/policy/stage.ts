import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import type { Artifact } from "../../artifact/make.ts"
import { must, type Profile } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import { Registry } from "../../registry/server.ts"
import type { Keys } from "../../signing/evidence.ts"
import { type ApiError, errorOf } from "../../subject/answers.ts"
import { type Instance, Runtime } from "../../subject/runtime.ts"
import { harnessOf, type Plan, type Scene, sceneOf } from "../runtime/plan.ts"

export const DIGEST_ONLY = { requirements: [{ type: "digestOnly" }] }
export const REJECT = { requirements: [{ type: "reject" }] }

/** The suite's guest as nobody has had it before. */
export function unseen(document: object = {}): Artifact {
  return guestArtifact(utf8(`${process.hrtime.bigint()}`), { document })
}

/** As a policy names them. */
export function believed(...keys: readonly Keys[]): readonly { readonly pem: string }[] {
  return keys.map(({ publicPem }) => ({ pem: publicPem }))
}

/** A runtime of the check's own, which takes its policy from a file of the suite, and a registry. */
export interface Stage extends Scene {
  readonly registry: Registry
  /** The folder that the policy is in. */
  readonly home: string
  /** Puts a policy there; text is written as it is. */
  policy(document: object | string): Promise<void>
  /** Asks for a start: why it failed, or nothing where the machine ran. */
  refusal(manifest: string, overrides?: object): Promise<ApiError | undefined>
  /** Fails if it is not refused by the policy; what is said of that. */
  rejects(manifest: string, overrides?: object): Promise<Decision>
  /** Fails unless it runs. */
  admits(manifest: string, overrides?: object): Promise<void>
}

/** `detail` of OVM_POLICY_REFUSED. */
export interface Decision {
  readonly reference: string
  readonly digest: string
  readonly scope: string
  readonly rules: readonly {
    readonly pointer: string
    readonly type: string
    readonly digest: string
    readonly holds: boolean
    readonly reason?: string
  }[]
}

const QUICK = "console=ttyS0 tick_ms=20 ticks=1 off=1"

/** How a start went on: the error that it ended with, if it did. */
async function ended(runtime: Runtime, manifest: string, overrides: object): Promise<ApiError | undefined> {
  const body = { manifest, overrides: { args: QUICK, ...overrides } }
  const reply = await runtime.raw("POST", "/start", { body })
  if (reply.status >= 400) return errorOf("POST /start", reply)
  const { instance_id } = JSON.parse(reply.text) as Instance
  return await runtime.until("the start comes to something", async () => {
    const { state, error } = await runtime.status(instance_id)
    return state !== "starting" && { ...(error ?? { code: "", message: "" }) }
  })
}

export function policyPlan(
  name: string,
  covers: readonly string[],
  run: (stage: Stage) => Promise<void>,
  profile: Profile = "signing",
): Plan {
  return {
    name: `policy/${name}`,
    profile,
    covers,
    async run(scene) {
      const harness = await harnessOf(scene.runtime).another()
      const registry = await Registry.start()
      try {
        await harness.start(scene.signal)
        const runtime = new Runtime(harness.socket, scene.runtime.machines, harness, scene.signal)
        await run(staged({ ...scene, ...sceneOf(runtime, scene, []) }, registry, harness.home))
      } finally {
        await harness.close()
        await registry.close()
      }
    },
  }
}

function staged(scene: Scene, registry: Registry, home: string): Stage {
  const { runtime } = scene
  const stage: Stage = {
    ...scene,
    registry,
    home,
    policy: (document) => {
      const text = typeof document === "string" ? document : JSON.stringify({ schemaVersion: 1, ...document })
      return writeFile(join(home, "policy.json"), text)
    },
    async refusal(manifest, overrides = {}) {
      const error = await ended(runtime, manifest, overrides)
      return error?.code ? error : undefined
    },
    async rejects(manifest, overrides) {
      const error = await stage.refusal(manifest, overrides)
      must(error?.code === "OVM_POLICY_REFUSED", `the policy let it run: ${error?.code ?? "it ran"}`)
      const detail = error.detail as Decision | undefined
      must(
        Array.isArray(detail?.rules),
        `detail of the refusal has no rules: ${JSON.stringify(detail)?.slice(0, 200)}`,
      )
      return detail
    },
    async admits(manifest, overrides) {
      const error = await stage.refusal(manifest, overrides)
      // A snapshot of no host goes on nowhere; that is found out once the policy has let it.
      must(
        error === undefined || error.code === "OVM_SNAPSHOT_INCOMPATIBLE",
        `it was not let run: ${error?.code}: ${error?.message.slice(0, 300)}`,
      )
    },
  }
  return stage
}
