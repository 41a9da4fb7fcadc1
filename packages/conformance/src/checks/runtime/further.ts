import { must, skip } from "../../check.ts"
import { errorOf, goodValue } from "../../subject/answers.ts"
import type { Scene } from "./plan.ts"

const SNAPSHOT = "POST /snapshot"

/** The snapshot of a machine that can write to a further disk; skips where there are none of such (OVMS-SNP-163). */
export async function takenWithDisks({ runtime }: Scene, id: string, tag: string): Promise<string> {
  const reply = await runtime.raw("POST", "/snapshot", { body: { instance_id: id, tag } })
  if (reply.status >= 400) {
    const { code, message, detail } = errorOf(SNAPSHOT, reply)
    const named = Array.isArray(detail) && detail.some(({ pointer }) => /^\/?disks\b/.test(String(pointer)))
    must(code === "OVM_UNSUPPORTED" && named, `it is refused with ${code}: ${message}`)
    skip("the runtime takes no snapshot of a machine that can write to a further disk")
  }
  return (goodValue(SNAPSHOT, reply) as { snapshot_ref: string }).snapshot_ref
}
