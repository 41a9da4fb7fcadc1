import { operation } from "../operation.ts"
import { flag } from "../query.ts"

export const remove = operation("DELETE", "/instances/{instance_id}", async ({ runtime, query, path }) => {
  await runtime.remove(path.instance_id, { force: flag(query, "force") })
  return new Response(null, { status: 204 })
})
