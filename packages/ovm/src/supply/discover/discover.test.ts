import { describe, expect, test } from "bun:test"
import { SNAPSHOT_TYPE } from "../../artifact/types.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { MemoryStore } from "../../content/memory.ts"
import { attest } from "../../signing/attest.ts"
import { BUNDLE } from "../../signing/bundle/parse.ts"
import { pushed } from "../../signing/bundle/write.ts"
import type { Authority, EvidenceSource } from "../../signing/interfaces.ts"
import { generateKeyPair } from "../../signing/keys/generate.ts"
import { keySigner, parsePrivateKey } from "../../signing/keys/private.ts"
import { parsePublicKey } from "../../signing/keys/public.ts"
import { SIMPLE_SIGNING } from "../../signing/legacy/payload.ts"
import { legacyTag, SIGNATURE_ANNOTATION } from "../../signing/legacy/tags.ts"
import { sign } from "../../signing/sign.ts"
import { evidenceIn } from "../../signing/source.ts"
import { type DiscoverOptions, discover, LISTING_LIMIT } from "./discover.ts"
import { discoverLines } from "./lines.ts"

const [pair, stranger] = [await generateKeyPair("p256", ""), await generateKeyPair("ed25519", "")]
const signerOf = async (pem: string) => keySigner(await parsePrivateKey(pem, async () => "", "test.key"))
const [ours, theirs] = [await signerOf(pair.privateKey), await signerOf(stranger.privateKey)]
const authority: Authority = { kind: "key", name: "cosign.pub", publicKey: pair.publicKey }
const keyOf = (pem: string) => parsePublicKey(pem, "test").id

const MACHINE = "application/vnd.ovms.manifest.v1+json"
const SPDX = "https://spdx.dev/Document"

/** A manifest of `type`, about `subject` if that is given. */
function manifest(store: MemoryStore, type: string, subject?: Descriptor, note = ""): Promise<Descriptor> {
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: type,
    layers: [],
    annotations: { note, "org.opencontainers.image.created": "2026-01-02T03:04:05Z" },
    ...(subject && { subject }),
  }
  return pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(document)), {})
}

const found = (store: EvidenceSource, target: Descriptor, options: Partial<DiscoverOptions> = {}) =>
  discover(store, target, { authorities: [authority], depth: 8, ...options })

async function everything() {
  const store = new MemoryStore()
  const machine = await manifest(store, MACHINE)
  const snapshot = await manifest(store, SNAPSHOT_TYPE, machine)
  await sign(store, machine, ours, { reference: "example.com/machines/debian" })
  await sign(store, machine, theirs)
  await sign(store, snapshot, ours)
  await attest(store, machine, ours, { predicateType: SPDX, predicate: { spdxVersion: "SPDX-2.3" } })
  await attest(store, machine, theirs, { predicateType: "https://slsa.dev/provenance/v1", predicate: {} })
  const plain = await manifest(store, "application/vnd.cyclonedx+json", machine)
  await sign(store, plain, ours)
  const scan = await manifest(store, "application/vnd.example.scan", machine)
  return { store, source: evidenceIn(store), machine, snapshot, plain, scan }
}

describe("the graph", () => {
  test("has everything that refers to the machine, with what to think of it", async () => {
    const { source, machine, snapshot, plain, scan } = await everything()
    const graph = await found(source, machine)
    expect(graph).toMatchObject({ kind: "machine", digest: machine.digest, artifact_type: MACHINE })
    const byStatus = graph.signatures.toSorted((a, b) => (a.status < b.status ? -1 : 1))
    expect(byStatus).toEqual([
      {
        status: "unknown",
        predicate_type: "https://sigstore.dev/cosign/sign/v1",
        form: "bundle",
        manifest: expect.stringContaining("sha256:"),
        named_key: keyOf(stranger.publicKey),
        code: "OVM_SIGNATURE_KEY_UNKNOWN",
        reason: "it is not by cosign.pub",
      },
      {
        status: "valid",
        predicate_type: "https://sigstore.dev/cosign/sign/v1",
        form: "bundle",
        manifest: expect.stringContaining("sha256:"),
        key_id: keyOf(pair.publicKey),
        signed_for: "example.com/machines/debian",
      },
    ])
    expect(graph.sboms).toMatchObject([{ status: "valid", predicate_type: SPDX }])
    expect(graph.attestations).toMatchObject([
      { status: "unknown", predicate_type: "https://slsa.dev/provenance/v1" },
    ])
    expect(graph.snapshots).toMatchObject([
      { digest: snapshot.digest, kind: "snapshot", signatures: [{ status: "valid" }] },
    ])
    const others = graph.referrers.map(
      ({ digest, kind, signatures }) => `${digest} ${kind} ${signatures.length}`,
    )
    expect(others.sort()).toEqual([`${plain.digest} sbom 1`, `${scan.digest} other 0`].sort())
    expect(graph.rejected).toEqual([])
  })

  test("of a snapshot names its base, and who signed that only where it was asked to go on", async () => {
    const { source, machine, snapshot } = await everything()
    const graph = await found(source, snapshot)
    expect(graph).toMatchObject({ kind: "snapshot", signatures: [{ status: "valid" }] })
    expect(graph.base).toMatchObject({ digest: machine.digest, kind: "machine", unexplored: true })
  })

  test("is a tree for people", async () => {
    const { source, machine, snapshot } = await everything()
    const text = discoverLines(await found(source, machine), "debian:13").join("\n")
    expect(text).toStartWith(`debian:13  (machine)\ndigest  ${machine.digest}\n├─ signatures  2\n`)
    expect(text).toContain(`valid  key ${keyOf(pair.publicKey)}, for example.com/machines/debian`)
    expect(text).toContain(`unknown  says key ${keyOf(stranger.publicKey)}, it is not by cosign.pub`)
    expect(text).toContain(
      `│  └─ ${snapshot.digest}  2026-01-02T03:04:05Z\n│     └─ signatures  1\n│        └─ valid`,
    )
  })

  test("without an authority everything is unknown, and what was changed is invalid all the same", async () => {
    const { source, machine } = await everything()
    const { signatures } = await found(source, machine, { authorities: [] })
    expect(signatures.map(({ status }) => status)).toEqual(["unknown", "unknown"])
  })
})

describe("filters", () => {
  test("by predicate type", async () => {
    const { source, machine } = await everything()
    const graph = await found(source, machine, { predicateType: SPDX })
    expect(graph).toMatchObject({ signatures: [], attestations: [], snapshots: [], referrers: [] })
    expect(graph.sboms).toHaveLength(1)
  })

  test("by artifactType", async () => {
    const { source, machine, scan } = await everything()
    const graph = await found(source, machine, { artifactType: "application/vnd.example.scan" })
    expect(graph).toMatchObject({ signatures: [], sboms: [], referrers: [{ digest: scan.digest }] })
    const bundles = await found(source, machine, { artifactType: BUNDLE })
    expect([bundles.signatures.length, bundles.referrers.length]).toEqual([2, 0])
  })

  test("by depth", async () => {
    const { source, machine } = await everything()
    const graph = await found(source, machine, { depth: 1 })
    expect(graph.snapshots).toMatchObject([{ signatures: [], unexplored: true }])
    expect(graph.signatures).toHaveLength(2)
  })
})

describe("what strangers attach", () => {
  test("a signature for another repository, but that of a snapshot may have its own tag", async () => {
    const { store, source, machine, snapshot } = await everything()
    await sign(store, snapshot, ours, { reference: "example.com/machines/debian:warm" })
    const expected = "example.com/machines/other:1"
    const graph = await found(source, machine, { expected })
    expect(graph.signatures.find(({ key_id }) => key_id)).toMatchObject({
      status: "invalid",
      code: "OVM_SIGNATURE_REFERENCE_MISMATCH",
      signed_for: "example.com/machines/debian",
      reason: expect.stringContaining(expected),
    })
    expect(graph.snapshots[0]?.signatures.map(({ status }) => status)).toEqual(["valid", "valid"])
  })

  test("the older form, also where it is none", async () => {
    const { store, source, machine } = await everything()
    const layer = {
      ...(await pushed(store, SIMPLE_SIGNING, Buffer.from("{}"), {})),
      annotations: { [SIGNATURE_ANNOTATION]: "AAAA" },
    }
    const legacy = { schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [layer] }
    const tagged = await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(legacy)), {})
    await store.tag(tagged, legacyTag(machine.digest, "signature"))
    await store.tag(machine, legacyTag(machine.digest, "attestation"))
    const { signatures, attestations } = await found(source, machine)
    expect(signatures.find(({ form }) => form === "legacy")).toMatchObject({
      status: "invalid",
      code: "OVM_SIGNATURE_MALFORMED",
      manifest: tagged.digest,
    })
    expect(attestations.find(({ form }) => form === "legacy")).toMatchObject({
      status: "invalid",
      code: "OVM_SIGNATURE_MALFORMED",
    })
  })

  test("a list that lies: another's referrer, a blob, what is gone, what never was a manifest", async () => {
    const { store, source, machine } = await everything()
    const other = await manifest(store, MACHINE, undefined, "another")
    const foreign = await manifest(store, "application/x", other)
    const noSubject = await manifest(store, "application/x", undefined, "none")
    const blob = await pushed(store, "text/plain", Buffer.from("hello"), {})
    const junk = await pushed(store, "application/octet-stream", Buffer.from("[1]"), {})
    const gone = { mediaType: OCI_MANIFEST, digest: digestOf("gone"), size: 4, artifactType: "application/x" }
    const lying: EvidenceSource = {
      fetch: source.fetch,
      tagged: source.tagged,
      async *referrers() {
        yield { ...foreign, artifactType: SNAPSHOT_TYPE }
        yield { ...noSubject, artifactType: SNAPSHOT_TYPE }
        yield blob
        yield { ...junk, mediaType: OCI_MANIFEST }
        yield gone
        yield { ...foreign, artifactType: BUNDLE }
      },
    }
    const graph = await found(lying, machine)
    expect(graph.snapshots).toEqual([])
    expect(graph.referrers).toEqual([])
    expect(graph.rejected.map(({ digest }) => digest)).toEqual(
      [foreign, noSubject, blob, junk].map(({ digest }) => digest),
    )
    expect(graph.rejected[0]?.reason).toBe(`its subject is ${other.digest}`)
    expect(graph.rejected[2]?.reason).toContain("text/plain")
  })

  test("a list that goes in circles ends", async () => {
    const { store, source, machine } = await everything()
    const inner = await manifest(store, "application/x", machine)
    const circling: EvidenceSource = {
      ...source,
      async *referrers() {
        yield inner
        yield inner
      },
    }
    const graph = await found(circling, machine, { depth: 100 })
    expect(graph.referrers).toHaveLength(1)
    expect(graph.referrers[0]).toMatchObject({ digest: inner.digest, referrers: [] })
  })

  test("so many that not all can be looked behind: snapshots first", async () => {
    const store = new MemoryStore()
    const machine = await manifest(store, MACHINE)
    for (let index = 0; index < 700; index++) await manifest(store, "application/x", machine, `${index}`)
    const snapshot = await manifest(store, SNAPSHOT_TYPE, machine)
    // A store in memory looks at everything for each list; only the machine has one.
    const source = evidenceIn(store)
    const listing: EvidenceSource = {
      ...source,
      async *referrers(subject, filter) {
        if (subject.digest === machine.digest) yield* source.referrers(subject, filter)
      },
    }
    const graph = await found(listing, machine)
    expect(graph.snapshots).toMatchObject([{ digest: snapshot.digest }])
    expect(graph.snapshots[0]?.unexplored).toBeUndefined()
    expect(graph.referrers).toHaveLength(700)
    expect(graph.referrers.filter(({ unexplored }) => !unexplored)).toHaveLength(LISTING_LIMIT - 2)
  })
})
