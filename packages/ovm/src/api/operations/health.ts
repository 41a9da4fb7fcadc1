import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const health = operation("GET", "/health", async ({ runtime }) => json(await runtime.health()))
