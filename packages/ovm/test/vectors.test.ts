import { afterAll, beforeAll, expect, test } from "bun:test"
import type { KeyObject } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
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
import { type Fault, faultsError } from "../src/artifact/faults.ts"
import { mapParts, type PartsVerdict } from "../src/artifact/machine/mapping.ts"
import { validateSource } from "../src/artifact/machine/source.ts"
import { validateManifest } from "../src/artifact/machine/validate.ts"
import { validateOciManifest } from "../src/artifact/oci.ts"
import { validateIndex } from "../src/artifact/platforms/index-document.ts"
import { machinesIn } from "../src/artifact/platforms/machines.ts"
import { validateSnapshot } from "../src/artifact/snapshot/descriptor.ts"
import { validateSnapshotArtifact } from "../src/artifact/snapshot/mapping.ts"
import { digestOf } from "../src/content/digest.ts"
import { MemoryStore } from "../src/content/memory.ts"
import { checkChain } from "../src/disk/chain.ts"
import { inspectDisk } from "../src/disk/inspect.ts"
import { OvmError } from "../src/errors.ts"
import { inflateRam } from "../src/ram/inflate.ts"
import { isPath, parseReference } from "../src/registry/reference.ts"
import { SIGNATURE_PREDICATE, type Verdict } from "../src/signing/interfaces.ts"
import { parsePrivateKey, publicPem } from "../src/signing/keys/private.ts"
import { parsePublicKey } from "../src/signing/keys/public.ts"
import { validatePolicy } from "../src/signing/policy/parse.ts"
import { heldAgainst } from "../src/signing/reference.ts"
import { evidenceIn } from "../src/signing/source.ts"
import { verdicts } from "../src/signing/verdicts.ts"
import { decide, putEvidence } from "./decisions.ts"
import {
  bytesOfDocument,
  loadVectors,
  SPEC,
  type Vector,
  type VectorFault,
  type VectorOf,
} from "./vectors.ts"

let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ovm-vectors-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

type Document =
  | VectorOf<"manifest">
  | VectorOf<"pack-source">
  | VectorOf<"snapshot">
  | VectorOf<"policy">
  | VectorOf<"oci-index">
  | VectorOf<"artifact">
  | VectorOf<"snapshot-artifact">

const JUDGES = {
  manifest: validateManifest,
  "pack-source": validateSource,
  snapshot: validateSnapshot,
  policy: validatePolicy,
  "oci-index": validateIndex,
}

function faultsOf(vector: Document): readonly Fault[] {
  if (vector.kind === "artifact") return judgeArtifact(vector).faults
  if (vector.kind === "snapshot-artifact") return judgeSnapshot(vector).faults
  return JUDGES[vector.kind](bytesOfDocument(vector.input)).faults
}

/** As far as bytes alone tell: that the two belong together by digest is for whoever fetches them. */
function judgeArtifact({
  input,
}: VectorOf<"artifact">): Partial<PartsVerdict> & Pick<PartsVerdict, "faults"> {
  const { oci, faults: ociFaults } = validateOciManifest(bytesOfDocument(input.oci))
  const { manifest, faults } = validateManifest(bytesOfDocument(input.manifest))
  return oci && manifest ? mapParts(oci, manifest) : { faults: [...ociFaults, ...faults] }
}

function judgeSnapshot({ input }: VectorOf<"snapshot-artifact">) {
  return validateSnapshotArtifact(bytesOfDocument(input.oci), bytesOfDocument(input.snapshot))
}

/** The memory digest of the RAM that a vector's blob holds. */
function inflate(name: string, { input }: VectorOf<"ram">): Promise<string> {
  const blob = bytesOfDocument(input.blob)
  const path = join(folder, `${name}.blob`)
  writeFileSync(path, blob)
  return inflateRam(path, {
    into: join(folder, `${name}.ram`),
    ref: digestOf(blob),
    blobSize: blob.length,
    compression: input.compression,
    size: input.size,
    digest: input.digest,
    ...(input.table && { table: bytesOfDocument(input.table) }),
  })
}

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

function parseRequest({ operation, input }: VectorOf<"request">): unknown {
  return PARSERS[operation](bytesOfDocument(input))
}

function layerPath(name: string, index: number): string {
  return join(folder, `${name}-${index}`)
}

/** The virtual size of the chain. */
async function inspectChain(name: string, { input }: VectorOf<"disk">): Promise<number | undefined> {
  const infos = input.layers.map(({ format, file }, index) => {
    const path = layerPath(name, index)
    writeFileSync(path, bytesOfDocument(file))
    return () => inspectDisk(path, { format, role: index === 0 ? "base" : "diff" })
  })
  const chain = []
  for (const inspect of infos) chain.push(await inspect())
  checkChain(chain)
  return chain.at(-1)?.virtualSize
}

/** As `ovm verify` holds signatures against it: with its tag, unless it has a digest. */
function nameIn(reference: string): string {
  const { host, repository, tag, digest } = parseReference(reference)
  return `${host}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`
}

/** The one verdict on what a vector has beside its subject. */
async function judgeEvidence({ input }: VectorOf<"evidence">): Promise<Verdict | undefined> {
  const store = new MemoryStore()
  const { subject, predicateType = SIGNATURE_PREDICATE } = input
  await putEvidence(store, subject, input, predicateType)
  const authorities = input.keys.map((publicKey) => ({ kind: "key", name: "a key", publicKey }) as const)
  const found = await Array.fromAsync(verdicts(evidenceIn(store), subject, { authorities, predicateType }))
  expect(found).toHaveLength(1)
  const { reference } = input
  return found[0] && heldAgainst(found[0], reference === undefined ? undefined : nameIn(reference))
}

function openKey({ input }: VectorOf<"private-key">): Promise<KeyObject> {
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

async function accept(name: string, vector: Vector): Promise<void> {
  if (vector.kind === "reference") {
    const { path, ...parts } = vector.expect ?? {}
    expect(isPath(vector.input)).toBe(path !== undefined)
    if (path !== undefined) return
    const { host, repository, tag, digest } = parseReference(vector.input)
    expect(JSON.parse(JSON.stringify({ host, repository, tag, digest }))).toEqual(parts)
  } else if (vector.kind === "evidence") {
    const { status, signatory, signedReference, predicate } = (await judgeEvidence(vector)) ?? {}
    const { keyId, reference, predicate: said } = vector.expect ?? {}
    expect<unknown>({ status, signatory, signedReference, predicate }).toEqual({
      status: "valid",
      signatory: { kind: "key", keyId },
      signedReference: reference,
      predicate: said,
    })
  } else if (vector.kind === "decision") {
    const { allowed, scope, rules } = await decide(join(folder, name), vector)
    expect<unknown>({ refused: rules.filter(({ holds }) => !holds), allowed, scope }).toEqual({
      refused: [],
      allowed: true,
      scope: vector.expect?.scope,
    })
  } else if (vector.kind === "private-key") {
    const { id } = parsePublicKey(publicPem(await openKey(vector)), "the key")
    expect<string | undefined>(id).toBe(vector.expect?.keyId)
  } else if (vector.kind === "request") {
    expect(parseRequest(vector)).toEqual(JSON.parse(bytesOfDocument(vector.input).toString()))
  } else if (vector.kind === "disk") {
    expect(await inspectChain(name, vector)).toBe(vector.expect?.virtualSize)
  } else if (vector.kind === "ram") {
    expect<string>(await inflate(name, vector)).toBe(vector.input.digest)
    expect(statSync(join(folder, `${name}.ram`)).size).toBe(vector.input.size)
  } else {
    expect(faultsOf(vector)).toEqual([])
    if (vector.kind === "oci-index" && vector.expect) {
      const { index } = validateIndex(bytesOfDocument(vector.input))
      const machines = index && machinesIn(index)
      expect<unknown>(
        machines?.map(({ platform, descriptor: { digest } }) => ({ platform, digest })),
      ).toEqual(vector.expect.machines)
    }
    if (vector.kind === "snapshot-artifact") {
      const { ram, table, state, overlays = [], disks = [] } = judgeSnapshot(vector).artifact?.parts ?? {}
      const digests = (chain: typeof overlays) => chain.map(({ descriptor }) => descriptor.digest)
      const further = disks.map(({ name, overlays }) => ({ name, overlays: digests(overlays) }))
      const found: unknown = {
        ram: ram?.digest,
        ...(table && { table: table.digest }),
        state: state?.digest,
        overlays: digests(overlays),
        ...(further.length > 0 && { disks: further }),
      }
      expect(found).toEqual(vector.expect)
    }
    if (vector.kind !== "artifact") return
    const { kernel, initrd, variables, layers = [], disks = [] } = judgeArtifact(vector).parts ?? {}
    const files = (chain: typeof layers) =>
      chain.map(({ descriptor, format }) => ({ digest: descriptor.digest, format }))
    const found: unknown = {
      kernel: kernel?.digest,
      initrd: initrd?.digest,
      variables: variables?.digest,
      layers: files(layers),
      ...(disks.length > 0 && {
        disks: disks.map(({ name, layers = [] }) => ({ name, layers: files(layers) })),
      }),
    }
    expect(found).toEqual(vector.expect)
  }
}

async function refuse(name: string, vector: Vector): Promise<void> {
  const { code = "" } = vector
  if (vector.kind === "ram") {
    const error = (await thrownBy(() => inflate(name, vector))) as OvmError
    expect(error).toBeInstanceOf(OvmError)
    expect<string>(error.code).toBe(code)
    // Mismatches tell the two digests or sizes; the rest tells which rule was broken.
    if (!code.endsWith("_MISMATCH")) expect(error.detail).toEqual({ requirement: vector.requirement })
    return
  }
  if (vector.kind === "evidence") {
    const { status, code: found, reason = "" } = (await judgeEvidence(vector)) ?? {}
    expect<unknown>({ status, code: found }).toEqual({ status: vector.status, code })
    expect(reason).toMatch(/^[ -~]{8,600}$/)
    return
  }
  if (vector.kind === "decision") {
    const { allowed, rules } = await decide(join(folder, name), vector)
    expect({ allowed, refused: rules.some(({ holds }) => !holds) }).toEqual({ allowed: false, refused: true })
    expect(code).toBe("OVM_POLICY_REFUSED")
    return
  }
  if (vector.kind === "private-key") {
    expect(await thrownBy(() => openKey(vector))).toMatchObject({ code })
    return
  }
  if (vector.kind === "reference" || vector.kind === "disk" || vector.kind === "request") {
    const thrown = await thrownBy(() => {
      if (vector.kind === "disk") return inspectChain(name, vector)
      return vector.kind === "request" ? parseRequest(vector) : parseReference(vector.input)
    })
    expect(thrown).toBeInstanceOf(OvmError)
    const error = thrown as OvmError
    expect<string>(error.code).toBe(code)
    if (vector.kind === "disk") expect(error.message).toContain(layerPath(name, vector.layer ?? -1))
    if (vector.kind !== "request") return
    const faults = error.detail as Omit<VectorFault, "document">[]
    expect(plain(faults.map((fault) => ({ document: "request", ...fault })))).toEqual(
      plain(vector.faults ?? []),
    )
    return
  }
  const faults = faultsOf(vector)
  expect(plain(faults)).toEqual(plain(vector.faults ?? []))
  expect<string>(faultsError("it", faults).code).toBe(code)
  for (const { message } of faults) expect(message).toMatch(/^[ -~]{8,600}$/)
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
