import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const info = operation("GET", "/info", async ({ runtime }) => json(await runtime.info()))
