import { describe, expect, test } from "bun:test"
import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { MemoryStore } from "../content/memory.ts"
import { pushed } from "./bundle/write.ts"
import { ENVELOPE } from "./envelope.ts"
import { type Authority, SIGNATURE_PREDICATE, type Verdict } from "./interfaces.ts"
import { generateKeyPair } from "./keys/generate.ts"
import { keySigner, parsePrivateKey } from "./keys/private.ts"
import { SIMPLE_SIGNING, writePayload } from "./legacy/payload.ts"
import { attestLegacy, signLegacy } from "./legacy/sign.ts"
import { legacyTag, SIGNATURE_ANNOTATION } from "./legacy/tags.ts"
import { isSignedFor } from "./reference.ts"
import { evidenceIn } from "./source.ts"
import { verdicts } from "./verdicts.ts"

const TYPE = "https://example.com/tested/v1"
const pair = await generateKeyPair("p256", "")
const signer = keySigner(await parsePrivateKey(pair.privateKey, async () => "", "test.key"))
const key: Authority = { kind: "key", name: "cosign.pub", publicKey: pair.publicKey }

async function artifact() {
  const store = new MemoryStore()
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] }))
  const subject = await pushed(store, OCI_MANIFEST, manifest, {})
  return { store, subject, at: { store, prefix: "", place: crypto.randomUUID() } }
}

const judged = (store: MemoryStore, subject: Descriptor, predicateType?: string): Promise<Verdict[]> =>
  Array.fromAsync(
    verdicts(evidenceIn(store), subject.digest, {
      authorities: [key],
      ...(predicateType && { predicateType }),
    }),
  )

/** Any layers under the tag of the signatures of `subject`. */
async function tagged(store: MemoryStore, subject: Descriptor, layers: readonly Descriptor[]) {
  const config = await pushed(store, "application/vnd.oci.image.config.v1+json", Buffer.from("{}"), {})
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }
  const target = await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {})
  await store.tag(target, legacyTag(subject.digest, "signature"))
}

async function layer(store: MemoryStore, mediaType: string, payload: Buffer, signed = payload) {
  const signature = Buffer.from(await signer.sign(signed)).toString("base64")
  return {
    ...(await pushed(store, mediaType, payload, {})),
    annotations: { [SIGNATURE_ANNOTATION]: signature },
  }
}

describe("Cosign's older form", () => {
  test("a signature says for which repository it is; a second one by the same key is not added", async () => {
    const { store, subject, at } = await artifact()
    const first = await signLegacy(at, subject, signer, { reference: "example.com/a" })
    expect(await signLegacy(at, subject, signer, { reference: "example.com/a" })).toEqual(first)
    expect(await judged(store, subject)).toMatchObject([
      { status: "valid", signedReference: "example.com/a", evidence: { form: "legacy", kind: "signature" } },
    ])
    await signLegacy(at, subject, signer, { reference: "example.com/b" })
    expect(await judged(store, subject)).toHaveLength(2)
  })

  test("many writers at once lose nothing (OVMS-SIG-012)", async () => {
    const { store, subject, at } = await artifact()
    const names = Array.from({ length: 8 }, (_, index) => `example.com/${index}`)
    // Places of their own: as if they were other processes.
    await Promise.all(
      names.map((name) => signLegacy({ ...at, place: name }, subject, signer, { reference: name })),
    )
    expect((await judged(store, subject)).map(({ signedReference }) => signedReference).sort()).toEqual(names)
  })

  test("an attestation with the predicate type of a signature is not written (OVMS-SIG-015)", async () => {
    const { store, subject, at } = await artifact()
    const attestation = { predicateType: SIGNATURE_PREDICATE, predicate: {} }
    await expect(attestLegacy(at, subject, signer, attestation)).rejects.toMatchObject({
      code: "OVM_PREDICATE_MISMATCH",
    })
    expect(await judged(store, subject)).toEqual([])
  })

  test("attestations of several types under one tag, each found by its own", async () => {
    const { store, subject, at } = await artifact()
    for (const [predicateType, predicate] of [[TYPE, { a: 1 }] as const, [`${TYPE}2`, { b: 2 }] as const])
      await attestLegacy(at, subject, signer, { predicateType, predicate, reference: "example.com/a" })
    expect(await judged(store, subject, TYPE)).toMatchObject([
      { status: "valid", predicate: { a: 1 }, evidence: { kind: "attestation", predicateType: TYPE } },
      { status: "unknown", code: "OVM_PREDICATE_MISMATCH" },
    ])
    expect(await judged(store, subject)).toEqual([])
  })

  test("a payload about another digest", async () => {
    const { store, subject } = await artifact()
    const payload = writePayload(digestOf("another"), "example.com/a", {})
    await tagged(store, subject, [await layer(store, SIMPLE_SIGNING, payload)])
    expect(await judged(store, subject)).toMatchObject([
      { status: "invalid", code: "OVM_SIGNATURE_SUBJECT_MISMATCH" },
    ])
  })

  test("a payload that was changed after it was signed, and one by another key: they cannot be told apart", async () => {
    const { store, subject } = await artifact()
    const payload = writePayload(subject.digest, "example.com/a", {})
    const signed = writePayload(subject.digest, "example.com/b", {})
    await tagged(store, subject, [await layer(store, SIMPLE_SIGNING, payload, signed)])
    const [found] = await judged(store, subject)
    expect(found).toMatchObject({ status: "unknown", code: "OVM_SIGNATURE_KEY_UNKNOWN" })
    expect(found?.reason).toContain("or what it signed was changed")
  })

  test("a tag that points at an image, at an index, at nothing to be read (OVMS-SIG-015)", async () => {
    const tar = "application/vnd.oci.image.layer.v1.tar"
    const { store, subject, at } = await artifact()
    await tagged(store, subject, [await pushed(store, tar, Buffer.from("a disk"), {})])
    const [found] = await judged(store, subject)
    expect(found).toMatchObject({ status: "invalid", code: "OVM_SIGNATURE_MALFORMED" })
    expect(found?.reason).toContain(tar)
    await expect(signLegacy(at, subject, signer, { reference: "example.com/a" })).rejects.toMatchObject({
      code: "OVM_SIGNATURE_MALFORMED",
      message: expect.stringContaining(legacyTag(subject.digest, "signature")),
    })
    for (const text of ['{"schemaVersion":2,"manifests":[]}', "no JSON"]) {
      const other = await pushed(store, OCI_MANIFEST, Buffer.from(text), {})
      await store.tag(other, legacyTag(subject.digest, "signature"))
      expect(await judged(store, subject)).toMatchObject([
        { status: "invalid", code: "OVM_SIGNATURE_MALFORMED" },
      ])
    }
  })

  test("payloads, envelopes and annotations that cannot be understood", async () => {
    const { store, subject } = await artifact()
    const good = writePayload(subject.digest, "example.com/a", {})
    const bare = await pushed(store, SIMPLE_SIGNING, good, {})
    const bad = [
      await layer(store, SIMPLE_SIGNING, Buffer.from("no JSON")),
      await layer(
        store,
        SIMPLE_SIGNING,
        Buffer.from('{"critical":{"type":"atomic container signature","image":{}}}'),
      ),
      await layer(store, ENVELOPE, Buffer.from('{"payloadType":"text/plain","payload":"","signatures":[]}')),
      bare,
      { ...bare, annotations: { [SIGNATURE_ANNOTATION]: "not base64!" } },
      {
        ...bare,
        annotations: { [SIGNATURE_ANNOTATION]: "AA==", "dev.sigstore.cosign/certificate": "no PEM" },
      },
      { ...bare, digest: digestOf("gone") },
    ]
    await tagged(store, subject, bad)
    const found = await judged(store, subject)
    expect(found.map(({ code }) => code)).toEqual(bad.map(() => "OVM_SIGNATURE_MALFORMED"))
  })
})

test("which repository a signature is for", () => {
  const digest = `sha256:${"0".repeat(64)}`
  const yes: [string, string][] = [
    ["example.com/a", "example.com/a:1"],
    ["example.com/a", `example.com/a@${digest}`],
    ["example.com/a:1", "example.com/a:1"],
    ["example.com/a:1", `example.com/a@${digest}`],
    ["example.com:5000/a", "example.com:5000/a:1"],
    ["index.docker.io/library/a", "docker.io/library/a:1"],
    [`example.com/a@${digest}`, `example.com/a:1@${digest}`],
  ]
  const no: [string, string][] = [
    ["example.com/b", "example.com/a:1"],
    ["example.org/a", "example.com/a:1"],
    ["example.com/a:2", "example.com/a:1"],
    ["example.com/a/b", "example.com/a:1"],
    [`example.com/a@${digest}`, `example.com/a@${digest.replace(/0$/, "1")}`],
    ["", "example.com/a:1"],
  ]
  for (const [signed, expected] of yes)
    expect({ signed, is: isSignedFor(signed, expected) }).toEqual({ signed, is: true })
  for (const [signed, expected] of no)
    expect({ signed, is: isSignedFor(signed, expected) }).toEqual({ signed, is: false })
})
