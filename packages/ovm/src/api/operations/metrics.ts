import { metricsOf } from "../metrics.ts"
import { operation } from "../operation.ts"

/** For programs that collect numbers (spec/runtime-api.md, "GET /metrics"). */
export const metrics = operation(
  "GET",
  "/metrics",
  async ({ runtime }) =>
    new Response(await metricsOf(runtime), {
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
    }),
)
