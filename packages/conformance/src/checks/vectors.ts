import { isDeepStrictEqual } from "node:util"
import { type Check, fail, must, type Profile } from "../check.ts"
import { jsonOf, type Wrapper } from "../subject/wrapper.ts"
import type { Vector, VectorFault } from "../vectors.ts"
import { impliedBy } from "./implied.ts"
import { vectorArguments } from "./vector-arguments.ts"

const PROFILE_OF: Readonly<Record<string, Profile>> = {
  snapshot: "snapshot",
  "snapshot-artifact": "snapshot",
  ram: "snapshot",
  policy: "signing",
  evidence: "signing",
  "private-key": "signing",
  decision: "signing",
}

/** One check a vector; bodies of requests are a runtime's (request-vectors.ts). */
export function vectorChecks(vectors: readonly Vector[]): Check<Wrapper>[] {
  return vectors
    .filter(({ kind }) => kind !== "request")
    .map((vector) => ({
      name: `vector/${vector.path}`,
      profile: PROFILE_OF[vector.kind] ?? "core",
      covers: [
        ...(vector.covers ?? []),
        ...(vector.requirement ? [vector.requirement] : []),
        ...impliedBy(vector),
      ],
      async run(wrapper, call) {
        const args = [vector.kind, ...(await vectorArguments(vector, call.folder))]
        const { code, stdout, stderr } = await wrapper.call("validate", args, call)
        const printed = stdout.trim() ? jsonOf(stdout, "validate") : {}
        if (vector.code === undefined) accepted(vector, code, printed.found, stderr)
        else refused(vector, code, printed.faults)
      },
    }))
}

function accepted(vector: Vector, code: string | undefined, found: unknown, stderr: string): void {
  if (code) fail(`it refuses ${vector.description} with ${code}: ${stderr.trim().slice(0, 300)}`)
  if (found === undefined || vector.expect === undefined) return
  const [theirs, ours] = [found, vector.expect].map(normal)
  must(
    isDeepStrictEqual(theirs, ours),
    `it makes ${JSON.stringify(theirs)} of ${vector.description}, and not ${JSON.stringify(ours)}`,
  )
}

/** Whether an empty list is there makes no difference. */
function normal(value: unknown): unknown {
  const entries = Object.entries(value as object).filter(([, member]) => !isDeepStrictEqual(member, []))
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function refused(vector: Vector, code: string | undefined, reported: unknown): void {
  must(code, `it accepts ${vector.description} (${vector.requirement})`)
  must(code === vector.code, `it refuses ${vector.description} with ${code}, and not with ${vector.code}`)
  if (!Array.isArray(reported) || !vector.faults) return
  const [theirs, ours] = [reported as VectorFault[], vector.faults].map(plain)
  if (!theirs || !ours || theirs.length === 0) return
  const unknown = theirs.filter((fault) => !ours.includes(fault))
  if (unknown.length > 0) fail(`it finds what is no fault of ${vector.description}: ${unknown.join("; ")}`)
  // One fault is that of a reader which stops there; several are all that there are.
  const missing = ours.filter((fault) => !theirs.includes(fault))
  if (theirs.length > 1 && missing.length > 0) fail(`it does not find ${missing.join("; ")}`)
}

/** A fault as one text; what a reader found twice is there once. */
function plain(faults: readonly VectorFault[]): string[] {
  return [...new Set(faults.map((f) => `${f.document} ${f.pointer || "(whole)"} ${f.requirement}`))].sort()
}
