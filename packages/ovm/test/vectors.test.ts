import { afterAll, beforeAll, expect, test } from "bun:test"
import type { KeyObject } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { vectorArguments } from "../../conformance/src/checks/vector-arguments.ts"
import { bytesOf, type VectorFault } from "../../conformance/src/vectors.ts"
import {
  assertEmpty,
  parseCommitRequest,
  parseExecControl,
  parseExecRequest,
  parseForkRequest,
  parseNetworkRequest,
  parseRenameRequest,
  parseSandboxRequest,
  parseSnapshotRequest,
  parseStartRequest,
  parseStopRequest,
  parseVolumeRequest,
  parseWarmRequest,
} from "../src/api/requests.ts"
import { faultsError } from "../src/artifact/faults.ts"
import { judgeAs } from "../src/cli/judge/as.ts"
import { OvmError } from "../src/errors.ts"
import { parsePrivateKey, publicPem } from "../src/signing/keys/private.ts"
import { parsePublicKey } from "../src/signing/keys/public.ts"
import {
  type JudgedVector,
  type KeyVector,
  loadVectors,
  type RequestVector,
  SPEC,
  type Vector,
} from "./vectors.ts"

let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ovm-vectors-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

function plain(faults: readonly VectorFault[]): string[] {
  const texts = faults.map(({ document, pointer, requirement }) => `${document} ${pointer} ${requirement}`)
  return [...new Set(texts)].sort()
}

const PARSERS = {
  start: parseStartRequest,
  stop: parseStopRequest,
  snapshot: parseSnapshotRequest,
  rename: parseRenameRequest,
  volume: parseVolumeRequest,
  network: parseNetworkRequest,
  commit: parseCommitRequest,
  warm: parseWarmRequest,
  restart: assertEmpty,
  exec: parseExecRequest,
  "exec-control": parseExecControl,
  sandbox: parseSandboxRequest,
  fork: parseForkRequest,
}

function parseRequest({ operation, input }: RequestVector): unknown {
  return PARSERS[operation](bytesOf(input))
}

function openKey({ input }: KeyVector): Promise<KeyObject> {
  return parsePrivateKey(input.pem, async () => input.password, "the key")
}

async function thrownBy(work: () => unknown): Promise<unknown> {
  try {
    await work()
  } catch (thrown) {
    return thrown
  }
  return undefined
}

/** The files of a vector, each vector's in a folder of its own. */
async function filesOf(name: string, vector: JudgedVector): Promise<string[]> {
  const into = join(folder, `${vector.code === undefined ? "valid" : "invalid"}-${name}`)
  mkdirSync(into)
  return vectorArguments({ ...vector, path: name }, into)
}

async function accept(name: string, vector: Vector): Promise<void> {
  if (vector.kind === "private-key") {
    const { id } = parsePublicKey(publicPem(await openKey(vector)), "the key")
    expect<string | undefined>(id).toBe(vector.expect?.keyId)
  } else if (vector.kind === "request") {
    expect(parseRequest(vector)).toEqual(JSON.parse(bytesOf(vector.input).toString()))
  } else {
    const { faults, found } = await judgeAs(vector.kind, await filesOf(name, vector))
    expect(faults).toEqual([])
    if ("expect" in vector) expect<unknown>(JSON.parse(JSON.stringify(found))).toEqual(vector.expect)
  }
}

async function refuse(name: string, vector: Vector): Promise<void> {
  const { code = "" } = vector
  if (vector.kind === "private-key") {
    expect(await thrownBy(() => openKey(vector))).toMatchObject({ code })
    return
  }
  if (vector.kind === "request") {
    const error = (await thrownBy(() => parseRequest(vector))) as OvmError
    expect(error).toBeInstanceOf(OvmError)
    expect<string>(error.code).toBe(code)
    const faults = error.detail as Omit<VectorFault, "document">[]
    const whole = faults.map((fault) => ({ document: "request", ...fault }))
    expect(plain(whole)).toEqual(plain(vector.faults ?? []))
    return
  }
  const files = await filesOf(name, vector)
  if (UNPLACED.has(vector.kind)) {
    const error = (await thrownBy(() => judgeAs(vector.kind, files))) as OvmError
    expect(error).toBeInstanceOf(OvmError)
    expect<string>(error.code).toBe(code)
    told(vector, error, files)
    return
  }
  const judged = await judgeAs(vector.kind, files).catch((thrown: unknown) => thrown as OvmError)
  if (judged instanceof OvmError) {
    // What is too large is not even read.
    expect([judged.code, code]).toEqual(["OVM_TOO_LARGE", "OVM_TOO_LARGE"])
    return
  }
  const { faults } = judged
  expect(plain(faults)).toEqual(plain(vector.faults ?? []))
  expect<string>(faultsError("it", faults).code).toBe(code)
  for (const { message } of faults) expect(message).toMatch(/^[ -~]{8,600}$/)
}

/** What has no faults with a place: it is refused as a whole. */
const UNPLACED: ReadonlySet<string> = new Set(["reference", "disk", "ram", "evidence", "decision"])

/** What a refusal says besides its code. */
function told(vector: JudgedVector, { code, message, detail }: OvmError, files: readonly string[]): void {
  if (vector.kind === "disk")
    expect(message).toContain(files[vector.layer ?? -1]?.replace(/^\w+:/, "") ?? "?")
  // Mismatches tell the two digests or sizes; the rest tells which rule was broken.
  if (vector.kind === "ram" && !code.endsWith("_MISMATCH"))
    expect(detail).toEqual({ requirement: vector.requirement })
  if (vector.kind === "evidence") expect(detail).toEqual({ status: vector.status })
  if (vector.kind === "decision") {
    const { rules } = detail as { rules: readonly { holds: boolean; pointer: string; reason: string }[] }
    expect(rules.filter(({ holds }) => !holds).map(({ reason }) => reason)).not.toEqual([])
  }
  if (vector.kind !== "reference") expect(message.replaceAll(folder, "")).toMatch(/^[ -~]{8,600}$/)
}

for (const { name, vector } of loadVectors("valid"))
  test(`valid/${name}: ${vector.description}`, () => accept(name, vector))

// OVMS-ERR-010, OVMS-ERR-011, OVMS-VER-001
for (const { name, vector } of loadVectors("invalid"))
  test(`invalid/${name}: ${vector.description} (${vector.requirement})`, () => refuse(name, vector))

test("a snapshot at fault is OVM_SNAPSHOT_INVALID, unless a requirement names another code (OVMS-SNP-008)", () => {
  const snapshots = loadVectors("invalid").filter(({ vector }) => vector.kind.startsWith("snapshot"))
  const others = snapshots.filter(({ vector }) => vector.code !== "OVM_SNAPSHOT_INVALID")
  expect(others.map(({ vector }) => `${vector.requirement} ${vector.code}`).sort()).toEqual([
    "OVMS-OCI-035 OVM_ARTIFACT_INVALID",
    "OVMS-SNP-003 OVM_BASE_MISMATCH",
  ])
  expect(snapshots.length).toBeGreaterThan(40)
})

test("every requirement that a schema enforces has a vector that breaks it", () => {
  const broken = loadVectors("invalid").flatMap(({ vector }) => vector.faults ?? [])
  const covered = new Set(broken.map(({ requirement }) => requirement))
  const files = [
    "schema/manifest.v1.json",
    "schema/pack-source.v1.json",
    "schema/oci-manifest.v1.json",
    "schema/oci-index.v1.json",
    "schema/snapshot.v1.json",
    "schema/policy.v1.json",
    "api/openapi.yaml",
  ]
  for (const file of files) {
    const text = readFileSync(join(SPEC, file), "utf8")
    const enforced = [...text.matchAll(/x-requirement(?:-\w+)?"?: "?(OVMS-\w+-\d+)/g)].map(
      ([, id]) => id ?? "",
    )
    expect(enforced.length).toBeGreaterThan(5)
    expect(enforced.filter((id) => !covered.has(id))).toEqual([])
  }
})
