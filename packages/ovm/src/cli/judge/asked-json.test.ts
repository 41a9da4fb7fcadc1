import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type JudgedKind, judgeAs } from "./as.ts"

let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ovm-question-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const DIGEST = `sha256:${"a".repeat(64)}`
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64")
const EVIDENCE = { subject: DIGEST, keys: [], bundle: "" }
const RAM = { compression: "zstd", size: 1 << 20, digest: DIGEST }
const DECISION = {
  policy: base64({ schemaVersion: 1, default: { requirements: [{ type: "digestOnly" }] } }),
  now: "2026-11-28T12:00:00Z",
  reference: "registry.example.com/a:1",
  machine: { digest: DIGEST, platform: "linux/amd64" },
}

test.each<[JudgedKind, unknown, string]>([
  ["evidence", [], "it is no object"],
  ["evidence", {}, "/subject: it is missing"],
  ["evidence", { ...EVIDENCE, subject: "sha256:1" }, "/subject: it is no digest"],
  ["evidence", { ...EVIDENCE, keys: "all" }, "/keys: it is no list"],
  ["evidence", { ...EVIDENCE, keys: [1] }, "/keys/0: it is no text"],
  ["evidence", { ...EVIDENCE, bundle: "a" }, "/bundle: it is not base64"],
  ["evidence", { ...EVIDENCE, bundle: "YQ" }, "/bundle: it is not base64"],
  ["evidence", { ...EVIDENCE, bundel: "" }, "/bundel: it is nothing that is asked here"],
  ["evidence", { subject: DIGEST, keys: [] }, "/bundle: there is either"],
  ["evidence", { ...EVIDENCE, layer: {} }, "/layer/mediaType: it is missing"],
  ["ram", { ...RAM, compression: "gzip" }, "/compression: it is zstd or lz4"],
  ["ram", { ...RAM, size: 2 ** 45 }, "/size: it is no count of bytes"],
  ["ram", { ...RAM, size: "1" }, "/size: it is no count of bytes"],
  ["ram", { ...RAM, ref: DIGEST }, "/ref: it is nothing that is asked here"],
  ["decision", { ...DECISION, now: "soon" }, "/now: it is no time"],
  ["decision", { ...DECISION, machine: DIGEST }, "/machine: it is no object"],
  ["decision", { ...DECISION, snapshot: {} }, "/snapshot/digest: it is missing"],
  ["decision", { ...DECISION, evidence: [{ ...EVIDENCE }] }, "/evidence/0/keys: it is nothing that is asked"],
  ["decision", { ...DECISION, files: { "a.pub": 1 } }, "/files/a.pub: it is no text"],
  [
    "decision",
    Object.assign(JSON.parse(`{"__proto__":1}`), DECISION),
    "/__proto__: it is nothing that is asked",
  ],
])("a question of the kind %s that is none is OVM_USAGE: %j", async (kind, question, place) => {
  const asked = file("question.json", JSON.stringify(question))
  const files = kind === "ram" ? [asked, file("blob", "")] : [asked]
  const refused = expect(judgeAs(kind, files)).rejects
  await refused.toMatchObject({ code: "OVM_USAGE", message: expect.stringContaining(`${asked}: ${place}`) })
})

test("a policy that is asked reads the files of the question, and no other", async () => {
  const key = file("secret.pub", "no key")
  const named = (path: string) =>
    base64({ schemaVersion: 1, default: { requirements: [{ type: "signed", keys: [{ path }] }] } })
  for (const path of ["secret.pub", "./secret.pub", key]) {
    const asked = file("question.json", JSON.stringify({ ...DECISION, policy: named(path) }))
    await expect(judgeAs("decision", [asked])).rejects.toMatchObject({
      code: "OVM_POLICY_INVALID",
      message: expect.stringContaining("is not among the files"),
    })
  }
  const files = { "secret.pub": Buffer.from("no key").toString("base64") }
  const asked = file("question.json", JSON.stringify({ ...DECISION, policy: named("secret.pub"), files }))
  await expect(judgeAs("decision", [asked])).rejects.toMatchObject({
    message: expect.stringContaining("is not a public key"),
  })
})

test("nothing of the RAM is left, of what is refused neither", async () => {
  const asked = file("ram.json", JSON.stringify(RAM))
  const blob = file("blob", readFileSync(import.meta.path))
  const own = mkdtempSync(join(folder, "tmp-"))
  const before = process.env.TMPDIR
  process.env.TMPDIR = own
  try {
    expect(tmpdir()).toBe(own)
    await expect(judgeAs("ram", [asked, blob])).rejects.toMatchObject({ code: "OVM_RAM_INVALID" })
    expect(readdirSync(own)).toEqual([])
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
})
