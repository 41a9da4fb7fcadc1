import { must } from "../../check.ts"
import { OPERATIONS } from "../../subject/answers.ts"
import { bytesOf, type Vector, type VectorDocument } from "../../vectors.ts"
import type { Plan } from "./plan.ts"

/** Where a body of the operation of a vector is sent: `exec-control` is `execControl`, `volume` `createVolume`. */
function placeOf(operation: string): string | undefined {
  const id = operation.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  const made = `create${id.charAt(0).toUpperCase()}${id.slice(1)}`
  const find = (wanted: string) => Object.keys(OPERATIONS).find((name) => OPERATIONS[name]?.id === wanted)
  return find(id) ?? find(made)
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
        const place = placeOf(operation)
        if (!place) throw new Error(`there is no operation ${operation}`)
        const id = place.includes("{") ? await create() : ""
        const query = operation === "exec-control" ? { query: "attachment=suite" } : {}
        const body = bytesOf(input as VectorDocument)
        // What makes an instance takes the body of a start.
        if (operation === "start") await runtime.refused("POST /instances", code, "", { body })
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
