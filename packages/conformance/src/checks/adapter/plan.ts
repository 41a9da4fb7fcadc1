import type { Check, CheckCall } from "../../check.ts"
import type { Adapter, Session } from "../../subject/adapter.ts"

/** An adapter that has been started for one check. */
export interface AdapterScene extends CheckCall {
  readonly adapter: Adapter
  readonly session: Session
}

export interface AdapterPlan {
  readonly name: string
  readonly covers: readonly string[]
  /** True of one that the contract gives more than a minute. */
  readonly slow?: boolean
  run(scene: AdapterScene): Promise<void>
}

export function onAdapter({ name, covers, slow = false, run }: AdapterPlan): Check<Adapter> {
  return {
    name: `adapter/${name}`,
    profile: "core",
    covers,
    slow,
    run: (adapter, call) => adapter.session(call, (session) => run({ ...call, adapter, session })),
  }
}
