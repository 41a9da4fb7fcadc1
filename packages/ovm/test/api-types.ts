import type { components } from "../src/api/generated/openapi.ts"
import type * as runtime from "../src/runtime/interfaces.ts"

type Wire = components["schemas"]

/** Compiles only if what the runtime answers is what the OpenAPI file promises, and what that allows to ask is understood. */
export type Agreement = [
  Extends<Wire["StartRequest"], runtime.StartRequest>,
  Extends<Wire["StopRequest"], runtime.StopRequest>,
  Extends<Wire["SnapshotRequest"], runtime.SnapshotRequest>,
  Extends<Wire["WarmRequest"], runtime.WarmRequest>,
  Extends<runtime.WarmAnswer, Wire["WarmAnswer"]>,
  Extends<runtime.StopAnswer, Wire["StopAnswer"]>,
  Extends<runtime.PauseAnswer, Wire["PauseAnswer"]>,
  Extends<runtime.SnapshotAnswer, Wire["SnapshotAnswer"]>,
  Extends<runtime.State, Wire["State"]>,
  Extends<Wire["State"], runtime.State>,
  Extends<runtime.Phase, Wire["Phase"]>,
  Extends<Wire["Phase"], runtime.Phase>,
  Extends<runtime.InstanceInfo, Wire["InstanceInfo"]>,
  Extends<runtime.RuntimeInfo, Wire["RuntimeInfo"]>,
]

type Extends<A extends B, B> = A
