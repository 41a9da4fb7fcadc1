import { must } from "../../check.ts"
import { bytesOf, type Vector, type VectorDocument } from "../../vectors.ts"
import type { Plan } from "./plan.ts"

/** Where a body of each operation is sent. */
const OPERATION: Readonly<Record<string, string>> = {
  start: "POST /start",
  stop: "POST /stop",
  snapshot: "POST /snapshot",
  warm: "POST /warm",
  sandbox: "POST /sandbox",
  volume: "POST /volumes",
  network: "POST /networks",
  rename: "POST /instances/{instance_id}/rename",
  commit: "POST /instances/{instance_id}/commit",
  restart: "POST /instances/{instance_id}/restart",
  exec: "POST /instances/{instance_id}/exec",
  "exec-control": "POST /instances/{instance_id}/exec/control",
}

/** The bodies that have to be refused; what a valid one leads to depends on what there is. */
export function requestVectorPlans(vectors: readonly Vector[]): Plan[] {
  return vectors
    .filter(({ kind, code }) => kind === "request" && code !== undefined)
    .map(({ path, operation = "", input, requirement = "", code = "", description, faults = [] }) => ({
      name: `vector/${path}`,
      profile: operation.startsWith("exec") ? "agent" : operation === "snapshot" ? "snapshot" : "core",
      covers: [requirement],
      async run({ runtime, create }) {
        const place = OPERATION[operation]
        if (!place) throw new Error(`there is no operation ${operation}`)
        const id = place.includes("{") ? await create() : ""
        const query = operation === "exec-control" ? { query: "attachment=suite" } : {}
        const body = bytesOf(input as VectorDocument)
        const { message } = await runtime.refused(place, code, id, { body, ...query })
        const named = faults.flatMap(({ pointer }) => pointer.split("/").at(-1) || [])
        const plain = named.map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"))
        must(
          plain.length === 0 ||
            plain.some((name) => message.includes(name.slice(0, 20)) || /^\d+$/.test(name)),
          `the message about ${description} does not name ${plain.join(" or ")}: ${message.slice(0, 300)}`,
        )
      },
    }))
}
