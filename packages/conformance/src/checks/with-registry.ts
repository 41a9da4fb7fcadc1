import type { Check, CheckCall, Profile } from "../check.ts"
import { Registry } from "../registry/server.ts"
import type { Wrapper } from "../subject/wrapper.ts"

export interface Scene extends CheckCall {
  readonly registry: Registry
  readonly wrapper: Wrapper
}

export interface Plan {
  readonly name: string
  readonly profile?: Profile
  readonly covers: readonly string[]
  run(scene: Scene): Promise<void>
}

/** A check of a reader or writer in front of a registry of its own. */
export function withRegistry({ name, profile = "core", covers, run }: Plan): Check<Wrapper> {
  return {
    name,
    profile,
    covers,
    async run(wrapper, call) {
      const registry = await Registry.start()
      try {
        await run({ ...call, registry, wrapper })
      } finally {
        await registry.close()
      }
    },
  }
}
