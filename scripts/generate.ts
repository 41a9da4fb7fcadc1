/**
 * Writes what is derived from the specification: validators, tables and types. `bun scripts/generate.ts`; with
 * `--check` nothing is written and the exit status is 1 if a file is out of date.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { generatedApi } from "./generate-api.ts"
import { generatedConformance } from "./generate-conformance.ts"
import { generatedCoverage } from "./generate-coverage.ts"
import { GOLDEN, generatedGolden } from "./generate-golden.ts"
import { generatedProto } from "./generate-proto.ts"
import { generatedPython } from "./generate-python.ts"
import { collect } from "./requirements.ts"
import { type JsonSchema, requirementTable, validatorsSource, validatorsTypes } from "./validators.ts"

const ROOT = join(import.meta.dirname, "..")

/** Each in a file of its own: a command loads those of the documents that it reads. */
const SCHEMAS = {
  manifest: "manifest.v1",
  packSource: "pack-source.v1",
  ociManifest: "oci-manifest.v1",
  ociIndex: "oci-index.v1",
  snapshot: "snapshot.v1",
} as const

/** Path from the repository's root → content. */
export async function generatedFiles(): Promise<Record<string, string | Uint8Array>> {
  const files: Record<string, string | Uint8Array> = {}
  const { content: requirements } = await collect()
  for (const [name, file] of Object.entries(SCHEMAS)) {
    const schema = await readSchema(file)
    const into = `packages/ovm/src/artifact/generated/${file.replace(/\.v1$/, "")}`
    files[`${into}.js`] = validatorsSource({ [name]: schema })
    files[`${into}.d.ts`] = validatorsTypes([name])
    files[`${into}.places.json`] = `${JSON.stringify(requirementTable(schema), undefined, 2)}\n`
  }
  return {
    ...files,
    ...policyFiles(await readSchema("policy.v1")),
    ...(await composeFiles()),
    "spec/requirements.json": requirements,
    ...(await generatedCoverage(ROOT, JSON.parse(requirements))),
    ...(await generatedApi(ROOT)),
    ...(await generatedProto(ROOT)),
    ...(await generatedConformance(ROOT)),
    ...(await generatedPython(ROOT)),
    ...generatedGolden(),
  }
}

async function readSchema(file: string): Promise<JsonSchema> {
  return JSON.parse(await readFile(join(ROOT, `spec/schema/${file}.json`), "utf8")) as JsonSchema
}

/** Its definitions are used many times over, so they are shared: what every start loads is a third as long. */
function policyFiles(schema: JsonSchema): Record<string, string> {
  const into = "packages/ovm/src/signing/policy/generated"
  const asIs = (schema: JsonSchema) => schema
  return {
    [`${into}/validators.js`]: validatorsSource({ policy: schema }, asIs),
    [`${into}/validators.d.ts`]: validatorsTypes(["policy"]),
    [`${into}/places.json`]: `${JSON.stringify(requirementTable(schema, asIs), undefined, 2)}\n`,
  }
}

/** Its faults are told by their lines, and not by a requirement: the file is the command line's own. */
async function composeFiles(): Promise<Record<string, string>> {
  const into = "packages/ovm/src/compose"
  const schema = JSON.parse(await readFile(join(ROOT, into, "schema.json"), "utf8")) as JsonSchema
  return {
    [`${into}/generated/validators.js`]: validatorsSource({ machines: schema }),
    [`${into}/generated/validators.d.ts`]: validatorsTypes(["machines"]),
  }
}

/** Paths of files that are not as they are to be, and of those that are not to be there. */
export async function outdated(): Promise<string[]> {
  const files = await generatedFiles()
  const stale: string[] = []
  for (const [path, content] of Object.entries(files)) {
    const found = await readFile(join(ROOT, path)).catch(() => undefined)
    if (!found?.equals(Buffer.from(content))) stale.push(path)
  }
  for (const entry of await readdir(join(ROOT, GOLDEN), { recursive: true, withFileTypes: true })) {
    const path = relative(ROOT, join(entry.parentPath, entry.name))
    if (entry.isFile() && !(path in files)) stale.push(path)
  }
  return stale
}

if (import.meta.main) {
  const stale = await outdated()
  if (process.argv.includes("--check")) {
    for (const path of stale) console.error(`${path} is out of date: run bun scripts/generate.ts`)
    process.exit(stale.length > 0 ? 1 : 0)
  }
  const files = await generatedFiles()
  for (const path of stale) {
    const content = files[path]
    if (content === undefined) await rm(join(ROOT, path))
    else {
      await mkdir(dirname(join(ROOT, path)), { recursive: true })
      await writeFile(join(ROOT, path), content)
    }
    console.log(`${content === undefined ? "removed" : "wrote"} ${path}`)
  }
}
