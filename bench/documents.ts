// How long the schemas of the specification take over as many documents as the conformance suite has.
// `make bench-documents`.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Ajv2020 } from "ajv/dist/2020.js"
import { inlined } from "../scripts/validators.ts"
import { inTurns } from "./turns.ts"

const COUNT = 10_000
const BOUND_S = 10
const SPEC = join(import.meta.dir, "../spec")

/** By the kind of a vector. */
const SCHEMAS: Readonly<Record<string, string>> = {
  manifest: "manifest.v1.json",
  "pack-source": "pack-source.v1.json",
  snapshot: "snapshot.v1.json",
  policy: "policy.v1.json",
  artifact: "oci-manifest.v1.json",
  "snapshot-artifact": "oci-manifest.v1.json",
  "oci-index": "oci-index.v1.json",
}

const json = (path: string) => JSON.parse(readFileSync(join(SPEC, path), "utf8"))
const ajv = new Ajv2020({ strict: false, allErrors: true })
const judges = new Map(
  [...new Set(Object.values(SCHEMAS))].map((name) => [name, ajv.compile(inlined(json(`schema/${name}`)))]),
)

/** The documents of the vectors that are JSON, as text, each with what judges it. */
const documents = ["valid", "invalid"].flatMap((folder) =>
  readdirSync(join(SPEC, "vectors", folder)).flatMap((name) => {
    const { kind, input } = json(`vectors/${folder}/${name}`)
    const judge = judges.get(SCHEMAS[kind] ?? "")
    const document = input.oci ?? input
    return judge && document.json !== undefined ? [{ text: JSON.stringify(document.json), judge }] : []
  }),
)

let refused = 0
function judgeAll(): number {
  const began = performance.now()
  refused = 0
  for (let at = 0; at < COUNT; at++) {
    const { text, judge } = documents[at % documents.length] as (typeof documents)[number]
    if (!judge(JSON.parse(text))) refused++
  }
  return performance.now() - began
}

const [took = Number.NaN] = await inTurns(3, judgeAll)
const seconds = took / 1000
console.log(
  `${COUNT} documents, of ${documents.length} of the vectors, read and held against their schemas, ${refused} of them refused: ${seconds.toFixed(2)} s (bound ${BOUND_S}: ${seconds <= BOUND_S ? "holds" : "MISSED"})`,
)
