import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { createConnection, createServer } from "node:net"
import { join } from "node:path"
import { type Fault, inAnswer, inAsked, type Json, reply } from "./fault.ts"

// What is seen of a runtime of the suite's own alone: of its files, its bounds and its connections.

const SNAPSHOT = /^\/snapshot$/
const BLOBS = join(process.env.OVMS_CONFORMANCE_HOME ?? "", "inner/store/blobs/sha256")
const read = (digest: string) => readFileSync(join(BLOBS, digest.slice("sha256:".length)))
function written(bytes: Uint8Array): string {
  const digest = createHash("sha256").update(bytes).digest("hex")
  writeFileSync(join(BLOBS, digest), bytes)
  return `sha256:${digest}`
}
const json = (value: Json) => Buffer.from(JSON.stringify(value))

/** Another snapshot in the place of one that has a map of changed pages. */
const inMaps = (edit: (changed: Json) => void): Fault =>
  inAnswer(SNAPSHOT, (answer) => {
    const oci = JSON.parse(read(answer.snapshot_ref).toString())
    const descriptor = JSON.parse(read(oci.config.digest).toString())
    if (!descriptor.ram.changed) return
    edit(descriptor.ram.changed)
    oci.config.digest = written(json(descriptor))
    answer.snapshot_ref = written(json(oci))
  })

/** By the names of the table. */
export const OWN: Readonly<Record<string, Fault>> = {
  "counts what has ended as running": inAnswer(/^\/info$/, ({ instances }) => {
    instances.running = instances.total
  }),
  "counts what is made as nothing": inAnswer(/^\/info$/, ({ instances }) => {
    instances.total = instances.running
  }),
  "forgets that RAM is wanted at once": inAsked("/snapshot", (body) => {
    delete body.preload_hint
  }),
  "forgets that RAM is to be locked": inAsked("/snapshot", (body) => {
    delete body.mlock_required
  }),
  "forgets how its snapshot is to be locked": inAsked("/snapshot", (body) => {
    body.mlock_required ??= false
  }),
  "hands on files that are others": {
    answer: (answer) => {
      if (!answer.body.includes("OVM_DIGEST_MISMATCH")) return
      Object.assign(answer, reply(500, answer.body.replaceAll("OVM_DIGEST_MISMATCH", "OVM_VMM_FAILED")))
    },
  },
  "looks for secrets in memory alone": inAnswer(SNAPSHOT, ({ scrub }) => {
    if (scrub) scrub.findings = scrub.findings.filter((one: Json) => one.offsets?.length > 0)
  }),
  "marks pages beside those that differ": inMaps((changed) => {
    const map = Buffer.from(read(changed.ref))
    for (const [at, byte] of map.entries()) if (byte !== 0) map[at] = 255
    changed.ref = written(map)
    changed.pages = map.reduce((all, byte) => all + (byte === 0 ? 0 : 8), 0)
  }),
  "counts another number of pages": inMaps((changed) => {
    changed.pages += 1
  }),
  "waits for bodies for ever": {},
}

/** Leads to `real`, and leaves a connection open whose request has begun, whatever becomes of the other end. */
export function serveForEver(real: string, socket: string): void {
  createServer((outer) => {
    const inner = createConnection({ path: real })
    let heard = ""
    outer.on("data", (bytes) => {
      heard = (heard + bytes.toString("latin1")).slice(0, 4096)
    })
    outer.pipe(inner, { end: false })
    inner.on("data", (bytes) => outer.write(bytes))
    const begun = () => heard.startsWith("POST /stop") && heard.includes("\r\n\r\n ")
    inner.on("error", () => {}).on("close", () => begun() || outer.end())
    outer.on("error", () => {}).on("close", () => inner.destroy())
  }).listen(socket)
}
