import { createInterface } from "node:readline"
import { Refused, type Request, say } from "./contract.ts"
import { VERBS } from "./verbs.ts"

/** Says who it is, and answers lines with lines until there are no more: several at once, in any order. */
export function serve({ adapter, version }: { readonly adapter: string; readonly version: string }): void {
  say({ adapter, contract: 1, version })
  const lines = createInterface({ input: process.stdin })
  lines.on("line", (line) => void answer(JSON.parse(line) as Request))
  // Connections to machines would keep it alive (OVMS-ADP-015).
  lines.once("close", () => process.exit(0))
}

async function answer(request: Request): Promise<void> {
  const { id, verb } = request
  try {
    const answering = VERBS[verb]
    if (!answering) throw new Refused("OVM_UNSUPPORTED", "it has no such verb")
    say({ id, result: await answering(request) })
  } catch (thrown) {
    const code = thrown instanceof Refused ? thrown.code : "OVM_VMM_FAILED"
    const message = `${verb}: ${thrown instanceof Error ? thrown.message : thrown}`
    say({ id, error: { code, message } })
  }
}
