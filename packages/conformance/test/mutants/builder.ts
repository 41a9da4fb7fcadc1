// A builder as it looks from outside, without machines: it makes what the checks ask for, wrong in what FAULT says
// (table.ts). What a guest would find is judged by the steps themselves, which then fail.
import { createHash } from "node:crypto"
import { cpSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { codes } from "../../src/errors.ts"

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
type Document = any

const fault = process.env.FAULT ?? ""
const [verb, context = "", layout = "", base = ""] = process.argv.slice(2)
if (verb !== "build") process.exit(69)

const sha256 = (bytes: string | Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`
const pathOf = (digest: string) => join(layout, "blobs/sha256", digest.slice("sha256:".length))

function fails(line: number, status: number): never {
  process.stderr.write(`OVM_BUILD_FAILED: Dockerfile:${line}: it ended with status ${status}\n`)
  process.exit(codes.OVM_BUILD_FAILED?.exit)
}

function put(bytes: Buffer): { digest: string; size: number } {
  const digest = sha256(bytes)
  writeFileSync(pathOf(digest), bytes)
  return { digest, size: bytes.length }
}

const json = (value: object) => Buffer.from(JSON.stringify(value))
const read = (digest: string): Document => JSON.parse(readFileSync(pathOf(digest), "utf8"))

/** The base with layers above its own; their digests. */
function machineWith(count: number): readonly string[] {
  cpSync(base, layout, { recursive: true })
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"))
  const oci = read(index.manifests[0].digest)
  const manifest = read(oci.config.digest)
  const layers = Array.from({ length: count }, (_, at) => put(Buffer.from(`the layer of step ${at}`)))
  for (const { digest, size } of layers) {
    manifest.diskLayers.push({ ref: digest, format: "qcow2", size })
    oci.layers.push({ mediaType: oci.layers[0].mediaType, digest, size })
  }
  Object.assign(oci.config, put(json(manifest)))
  Object.assign(index.manifests[0], put(json(oci)))
  writeFileSync(join(layout, "index.json"), JSON.stringify(index))
  return layers.map(({ digest }) => digest)
}

function lineOf(name: string): string {
  const path = join(context, name)
  const stats = lstatSync(path)
  const said = (kind: string, content: string) =>
    `${JSON.stringify([name, kind, stats.mode & 0o777, content])}\n`
  if (stats.isSymbolicLink()) return said("link", sha256(readlinkSync(path)))
  return stats.isDirectory() ? said("folder", "") : said("file", sha256(readFileSync(path)))
}

function provenanceOf(layers: readonly string[]): Document {
  const names = readdirSync(context, { recursive: true }).map(String)
  const copied = names.filter((name) => /^(copied\/|packed-by-)/.test(name) && !name.endsWith("left-out"))
  if (fault === "counts the folder whose content is copied") copied.push("copied")
  const lines = copied.map(lineOf).sort().join("")
  const steps: Document[] = [
    { stage: "parts", line: 2, step: "COPY", layer: layers[0] },
    { stage: "parts", line: 3, step: "ADD", layer: layers[1] },
    { stage: "1", line: 6, step: "WORKDIR", layer: layers[2] },
    { stage: "1", line: 9, step: "RUN", layer: layers[3] },
  ]
  if (fault === "says no layer of what was kept") delete steps[0].layer
  if (fault === "says its stages in another order") steps.unshift(...steps.splice(2))
  const digest = { sha256: sha256(lines).slice("sha256:".length) }
  const resolvedDependencies = [{ annotations: { "ovms.part": "context" }, digest }]
  return { buildDefinition: { resolvedDependencies, internalParameters: { steps } } }
}

const text = readFileSync(join(context, "Dockerfile"), "utf8")
if (text.includes("ADD hostile") && fault !== "unpacks by way of links") fails(4, 1)
if (text.includes("ADD pipe")) fails(4, 1)
if (text.includes("exit 77") && fault !== "ends well where a step fails")
  fails(3, fault === "takes a step for one of other modes" ? 1 : 77)
// The guest finds files in the place of links, and its step ends.
if (fault === "copies what links lead to") fails(9, 1)
writeFileSync("provenance.json", json(provenanceOf(machineWith(fault === "makes one layer of two" ? 3 : 4))))
