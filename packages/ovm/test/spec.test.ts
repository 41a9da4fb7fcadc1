import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Ajv2020 } from "ajv/dist/2020.js"
import { parse } from "yaml"
import { outdated } from "../../../scripts/generate.ts"
import { collect, parseDocument } from "../../../scripts/requirements.ts"
import { inlined, type JsonSchema } from "../../../scripts/validators.ts"
import * as api from "../src/api/generated/validators.js"
import { validateSource } from "../src/artifact/machine/source.ts"
import { validateManifest } from "../src/artifact/machine/validate.ts"
import { validateOciManifest } from "../src/artifact/oci.ts"
import { validateIndex } from "../src/artifact/platforms/index-document.ts"
import { validateSnapshot } from "../src/artifact/snapshot/descriptor.ts"
import { parseReferrer } from "../src/content/referrers.ts"
import { BUNDLE } from "../src/signing/bundle/parse.ts"
import { SIGNATURE_PREDICATE } from "../src/signing/interfaces.ts"
import { validatePolicy } from "../src/signing/policy/parse.ts"
import { parseStatement } from "../src/signing/statement.ts"
import { SPEC } from "./vectors.ts"

const read = (path: string) => readFileSync(join(SPEC, path), "utf8")
const DOCUMENTS = (readdirSync(SPEC, { recursive: true }) as string[])
  .filter((name) => name.endsWith(".md"))
  .sort()
const ERRORS = JSON.parse(read("errors.json")) as {
  exits: Record<string, string>
  classes: Record<string, string>
  codes: Record<string, { class: string; http: number; exit: number; meaning: string }>
}

interface Fence {
  readonly at: string
  readonly tag: string
  readonly body: string
}

function fencesOf(document: string): Fence[] {
  const fences: Fence[] = []
  let open: { at: string; tag: string; lines: string[] } | undefined
  for (const [index, line] of read(document).split("\n").entries()) {
    if (!line.startsWith("```")) open?.lines.push(line)
    else if (open) {
      fences.push({ at: open.at, tag: open.tag, body: open.lines.join("\n") })
      open = undefined
    } else open = { at: `${document}:${index + 1}`, tag: line.slice(3).trim(), lines: [] }
  }
  expect(open?.at).toBeUndefined()
  return fences
}

const reserved = JSON.parse(read("schema/reserved-names.v1.json")) as JsonSchema
const isReserved = new Ajv2020({ strict: false }).compile(inlined(reserved))

const provenance = JSON.parse(read("schema/provenance.v1.json")) as JsonSchema
const isProvenance = new Ajv2020({ strict: false }).compile(inlined(provenance))

/** By the word after `json`: what is wrong with such a document. */
const JUDGES: Readonly<Record<string, (text: string) => unknown>> = {
  manifest: (text) => validateManifest(Buffer.from(text)).faults,
  "pack-source": (text) => validateSource(Buffer.from(text)).faults,
  "oci-manifest": (text) => validateOciManifest(Buffer.from(text)).faults,
  "oci-index": (text) => validateIndex(Buffer.from(text)).faults,
  snapshot: (text) => validateSnapshot(Buffer.from(text)).faults,
  policy: (text) => validatePolicy(Buffer.from(text)).faults,
  "oci-snapshot": (text) => validateOciManifest(Buffer.from(text), "snapshot").faults,
  provenance: (text) => {
    const document = JSON.parse(text) as { buildDefinition: { externalParameters: { source: unknown } } }
    if (!isProvenance(document)) return isProvenance.errors
    const { source } = document.buildDefinition.externalParameters
    return validateSource(Buffer.from(JSON.stringify(source))).faults
  },
  "oci-evidence": (text) => {
    const { descriptor, subject } = parseReferrer(Buffer.from(text)) ?? {}
    const { layers } = JSON.parse(text) as { layers: readonly { mediaType: string }[] }
    const types = [descriptor?.artifactType, ...layers.map(({ mediaType }) => mediaType)]
    return subject && types.length === 2 && types.every((type) => type === BUNDLE) ? [] : types
  },
  statement: (text) => {
    const { subject } = JSON.parse(text) as { subject: [{ digest: { sha256: string } }] }
    const { predicateType } = parseStatement(
      Buffer.from(text),
      `sha256:${subject[0].digest.sha256}`,
      "the statement",
    )
    return predicateType === SIGNATURE_PREDICATE ? [] : predicateType
  },
  "signer-request": (text) => onlyMembers(text, ["version", "operation", "key", "message"]),
  "signer-answer": (text) => onlyMembers(text, ["version", "signature"]),
  vector: (text) => {
    const { input, faults } = JSON.parse(text) as { input: { json: unknown }; faults: unknown[] }
    const found = validateManifest(Buffer.from(JSON.stringify(input.json))).faults
    return found.length === 1 && Bun.deepMatch(faults, found) ? [] : found
  },
}

function onlyMembers(text: string, members: readonly string[]): unknown {
  return Bun.deepEquals(Object.keys(JSON.parse(text)), members) ? [] : Object.keys(JSON.parse(text))
}

function faultsOfFence({ tag, body }: Fence): unknown {
  const [language, word = ""] = tag.split(" ")
  if (language === "text" || language === "bash") return []
  if (language !== "json") return "the fence is not tagged"
  const [space, name = ""] = word.split(":")
  if (space === "api") {
    const validate = (api as unknown as Record<string, typeof api.Errors>)[name]
    if (!validate) return `there is no ${name} in the OpenAPI file`
    return validate(JSON.parse(body)) ? [] : validate.errors
  }
  if (space === "reserved") return isReserved({ [name]: JSON.parse(body) }) ? [] : isReserved.errors
  const judge = JUDGES[word]
  return judge ? judge(body) : "the fence does not say what it is"
}

for (const document of DOCUMENTS)
  for (const fence of fencesOf(document))
    test(`${fence.at}: the ${fence.tag} fence is what it says`, () => {
      expect(faultsOfFence(fence)).toEqual([])
    })

test("the text has an ID for every MUST, each once, and cited IDs exist", async () => {
  expect((await collect()).problems).toEqual([])
})

test("a MUST without an ID, and an ID in the wrong document, are found", () => {
  expect(parseDocument("manifest.md", "A reader MUST read.").problems).toEqual([
    "manifest.md:1 has a MUST without an ID",
  ])
  expect(parseDocument("manifest.md", "- [OVMS-DSK-001] It MUST.").problems[0]).toContain("does not belong")
  expect(parseDocument("manifest.md", "- [OVMS-MAN-001] It is.").problems[0]).toContain("no word")
})

test("generated files are up to date (bun scripts/generate.ts)", async () => {
  expect(await outdated()).toEqual([])
})

test("links between the documents lead somewhere", () => {
  for (const document of DOCUMENTS)
    for (const [, target = ""] of read(document).matchAll(/\]\(([^)#]+)[^)]*\)/g))
      if (!target.includes("://")) {
        const path = join(document, "..", target)
        expect([
          document,
          target,
          readdirSync(join(SPEC, path, "..")).includes(path.split("/").at(-1) ?? ""),
        ]).toEqual([document, target, true])
      }
})

test("one sentence a line", () => {
  for (const document of DOCUMENTS) {
    const prose = read(document).replace(/```[\s\S]*?```/g, "")
    const lines = prose
      .split("\n")
      .filter((line) => /^(- )?(\[OVMS|[A-Z`])/.test(line) && !line.startsWith("|"))
    const long = lines.filter((line) => /[a-z`)]\. [A-Z`]/.test(line))
    expect([document, ...long]).toEqual([document])
  }
})

test("every field of the schemas has a description", () => {
  const bare: string[] = []
  const visit = (node: unknown, at: string): void => {
    if (typeof node !== "object" || node === null) return
    const { properties } = node as { properties?: Record<string, JsonSchema> }
    const conditions = /\/(if|then)$/.test(at)
    for (const [name, field] of Object.entries(conditions ? {} : (properties ?? {})))
      if (!("description" in field) && !("$ref" in field)) bare.push(`${at}/${name}`)
    for (const [key, value] of Object.entries(node)) if (key !== "description") visit(value, `${at}/${key}`)
  }
  for (const name of [
    "manifest.v1",
    "pack-source.v1",
    "oci-manifest.v1",
    "oci-index.v1",
    "snapshot.v1",
    "policy.v1",
    "provenance.v1",
  ])
    visit(JSON.parse(read(`schema/${name}.json`)), name)
  expect(bare).toEqual([])
})

test("error codes have a known exit status and an HTTP status", () => {
  for (const [code, { http, exit, meaning }] of Object.entries(ERRORS.codes)) {
    expect(code).toMatch(/^OVM_[A-Z_]+$/)
    expect(Object.keys(ERRORS.exits)).toContain(String(exit))
    expect(http === 0 || (http >= 400 && http < 600)).toBe(true)
    expect(meaning).toMatch(/\.$/)
  }
})

test("every error code is of a class, and every class has one", () => {
  const used = new Set(Object.values(ERRORS.codes).map((code) => code.class))
  expect([...used].sort()).toEqual(Object.keys(ERRORS.classes).sort())
})

test("every code that the text names is on the list", () => {
  for (const document of DOCUMENTS)
    for (const [code] of read(document).matchAll(/OVM_[A-Z_]+/g))
      expect([document, code, code in ERRORS.codes]).toEqual([document, code, true])
})

test("the OpenAPI file has all operations, each with an error answer", () => {
  const { paths } = parse(read("api/openapi.yaml")) as {
    paths: Record<string, Record<string, { responses: object }>>
  }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, { responses }]) => `${method.toUpperCase()} ${path} ${Object.keys(responses).join(",")}`,
    ),
  )
  expect(operations.sort()).toEqual([
    "DELETE /instances/{instance_id} 204,default",
    "DELETE /instances/{instance_id}/ports 200,default",
    "DELETE /networks/{name} 204,default",
    "DELETE /volumes/{name} 204,default",
    "GET /events 200,default",
    "GET /health 200,default",
    "GET /info 200,default",
    "GET /instances 200,default",
    "GET /instances/{instance_id}/attach 200,default",
    "GET /instances/{instance_id}/files 200,default",
    "GET /instances/{instance_id}/ready 200,default",
    "GET /logs/{instance_id} 200,default",
    "GET /metrics 200,default",
    "GET /networks 200,default",
    "GET /status/{instance_id} 200,default",
    "GET /volumes 200,default",
    "POST /explain 200,default",
    "POST /instances 200,default",
    "POST /instances/{instance_id}/commit 200,default",
    "POST /instances/{instance_id}/exec 200,default",
    "POST /instances/{instance_id}/exec/control 204,default",
    "POST /instances/{instance_id}/exec/input 204,default",
    "POST /instances/{instance_id}/exec/stream 200,default",
    "POST /instances/{instance_id}/fork 200,default",
    "POST /instances/{instance_id}/input 204,default",
    "POST /instances/{instance_id}/pause 200,default",
    "POST /instances/{instance_id}/ports 200,default",
    "POST /instances/{instance_id}/rename 204,default",
    "POST /instances/{instance_id}/restart 200,default",
    "POST /instances/{instance_id}/resume 200,default",
    "POST /instances/{instance_id}/start 200,default",
    "POST /networks 200,default",
    "POST /sandbox 200,default",
    "POST /sandbox/stream 200,default",
    "POST /snapshot 200,default",
    "POST /start 200,default",
    "POST /stop 200,default",
    "POST /volumes 200,default",
    "POST /warm 200,default",
    "PUT /instances/{instance_id}/files 204,default",
  ])
})
