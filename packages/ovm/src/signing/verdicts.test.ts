import { describe, expect, test } from "bun:test"
import { createPrivateKey } from "node:crypto"
import type { Descriptor } from "../content/descriptor.ts"
import { type Digest, digestOf } from "../content/digest.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { MemoryStore } from "../content/memory.ts"
import { attest } from "./attest.ts"
import { BUNDLE } from "./bundle/parse.ts"
import { attachBundle, pushed, sealBy } from "./bundle/write.ts"
import { envelopeJson, INTOTO, preAuthEncoding } from "./envelope.ts"
import { type Authority, SIGNATURE_PREDICATE, type Signer, type Verdict } from "./interfaces.ts"
import { generateKeyPair } from "./keys/generate.ts"
import { keySigner, parsePrivateKey } from "./keys/private.ts"
import { sign } from "./sign.ts"
import { evidenceIn } from "./source.ts"
import { writeStatement } from "./statement.ts"
import { verdicts } from "./verdicts.ts"

const SPDX = "https://spdx.dev/Document"
const pair = await generateKeyPair("p256", "")
const stranger = await generateKeyPair("p256", "")
const signerOf = async (pem: string) => keySigner(await parsePrivateKey(pem, async () => "", "test.key"))
const [ours, theirs] = [await signerOf(pair.privateKey), await signerOf(stranger.privateKey)]
const authority: Authority = { kind: "key", name: "cosign.pub", publicKey: pair.publicKey }

async function artifact(): Promise<{ store: MemoryStore; subject: Descriptor }> {
  const store = new MemoryStore()
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [] }))
  return { store, subject: await pushed(store, OCI_MANIFEST, manifest, {}) }
}

function judged(
  store: MemoryStore,
  subject: Digest,
  options: { authorities?: readonly Authority[]; predicateType?: string } = {},
): Promise<Verdict[]> {
  return Array.fromAsync(verdicts(evidenceIn(store), subject, { authorities: [authority], ...options }))
}

/** The one verdict there is, in short. */
async function verdict(...args: Parameters<typeof judged>) {
  const [first, ...more] = await judged(...args)
  expect(more).toEqual([])
  return { status: first?.status, code: first?.code }
}

/** A bundle whose parts are as `change` leaves them, attached to `subject`. */
async function forged(
  store: MemoryStore,
  subject: Descriptor,
  change: (bundle: {
    mediaType: string
    verificationMaterial: Record<string, unknown>
    dsseEnvelope: { payload: string; payloadType: string; signatures: { sig: string }[] }
  }) => void,
  signer: Signer = ours,
) {
  const statement = writeStatement({
    subject: subject.digest,
    predicateType: SIGNATURE_PREDICATE,
    predicate: {},
  })
  const bundle = JSON.parse(Buffer.from(await sealBy(signer).seal(statement)).toString())
  change(bundle)
  await attach(store, subject, Buffer.from(JSON.stringify(bundle)))
}

/** A bundle in a referrer that says it is a signature. */
function attach(store: MemoryStore, subject: Descriptor, bundle: Uint8Array): Promise<Descriptor> {
  return attachBundle(store, subject, { bundle, predicateType: SIGNATURE_PREDICATE }, {})
}

/** A bundle around any statement, signed as it is. */
async function stated(store: MemoryStore, subject: Descriptor, statement: object, type = INTOTO) {
  const payload = Buffer.from(JSON.stringify(statement))
  const signature = Buffer.from(await ours.sign(preAuthEncoding(type, payload)))
  await forged(store, subject, (bundle) => {
    Object.assign(bundle, { dsseEnvelope: envelopeJson({ payloadType: type, payload, signature }) })
  })
}

const statementOf = (digest: Record<string, string>) => ({
  _type: "https://in-toto.io/Statement/v1",
  subject: [{ digest }],
  predicateType: SIGNATURE_PREDICATE,
  predicate: {},
})

describe("what we sign", () => {
  for (const algorithm of ["p256", "p384", "p521", "ed25519"] as const)
    test(`${algorithm}: is valid, by the key that it names`, async () => {
      const { store, subject } = await artifact()
      const { privateKey, publicKey } = await generateKeyPair(algorithm, "secret")
      const key = createPrivateKey(
        (await parsePrivateKey(privateKey, async () => "secret", "k")).export({
          type: "pkcs8",
          format: "pem",
        }),
      )
      await sign(store, subject, keySigner(key), { reference: "example.com/a" })
      const [found] = await judged(store, subject.digest, {
        authorities: [{ kind: "key", name: "k", publicKey }],
      })
      expect(found).toMatchObject({
        status: "valid",
        signedReference: "example.com/a",
        signatory: { kind: "key", keyId: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
        evidence: { form: "bundle", kind: "signature", predicateType: SIGNATURE_PREDICATE },
      })
    })

  test("any one of several keys is enough", async () => {
    const { store, subject } = await artifact()
    await sign(store, subject, ours)
    const other: Authority = { kind: "key", name: "other.pub", publicKey: stranger.publicKey }
    expect(await verdict(store, subject.digest, { authorities: [other, authority] })).toEqual({
      status: "valid",
      code: undefined,
    })
  })

  test("an attestation comes with its predicate, if it was asked for", async () => {
    const { store, subject } = await artifact()
    await attest(store, subject, ours, { predicateType: SPDX, predicate: { name: "x" } })
    const [found] = await judged(store, subject.digest, { predicateType: SPDX })
    expect(found).toMatchObject({ status: "valid", predicate: { name: "x" } })
  })
})

describe("what is refused", () => {
  test("another key: unknown, not invalid", async () => {
    const { store, subject } = await artifact()
    await sign(store, subject, theirs)
    expect(await verdict(store, subject.digest)).toEqual({
      status: "unknown",
      code: "OVM_SIGNATURE_KEY_UNKNOWN",
    })
  })

  test("nobody is named: unknown (OVMS-SIG-028)", async () => {
    const { store, subject } = await artifact()
    await sign(store, subject, ours)
    expect(await verdict(store, subject.digest, { authorities: [] })).toEqual({
      status: "unknown",
      code: "OVM_SIGNATURE_KEY_UNKNOWN",
    })
  })

  test("an attestation offered as a signature, whatever the manifest around it says", async () => {
    const { store, subject } = await artifact()
    await attest(store, subject, ours, { predicateType: SPDX, predicate: {} })
    const statement = writeStatement({ subject: subject.digest, predicateType: SPDX, predicate: {} })
    await attach(store, subject, await sealBy(ours).seal(statement))
    for (const found of await judged(store, subject.digest))
      expect(found).toMatchObject({
        status: "unknown",
        code: "OVM_PREDICATE_MISMATCH",
        evidence: { kind: "attestation", predicateType: SPDX },
      })
  })

  test("a signature offered as an attestation", async () => {
    const { store, subject } = await artifact()
    await sign(store, subject, ours)
    expect(await verdict(store, subject.digest, { predicateType: SPDX })).toEqual({
      status: "unknown",
      code: "OVM_PREDICATE_MISMATCH",
    })
  })

  const other = digestOf("something else")
  for (const [name, digest] of [
    ["another digest", { sha256: other.slice(7) }],
    ["a sha512 digest alone", { sha512: "ab".repeat(64) }],
    ["none at all", {}],
  ] as const)
    test(`a statement about ${name}`, async () => {
      const { store, subject } = await artifact()
      await stated(store, subject, statementOf(digest))
      expect(await verdict(store, subject.digest)).toEqual({
        status: "invalid",
        code: "OVM_SIGNATURE_SUBJECT_MISMATCH",
      })
    })

  test("a statement of a type that is none, and another payload type", async () => {
    const { store, subject } = await artifact()
    const statement = statementOf({ sha256: subject.digest.slice(7) })
    await stated(store, subject, { ...statement, _type: "https://example.com/Statement" })
    await stated(store, subject, statement, "text/plain")
    for (const found of await judged(store, subject.digest))
      expect(found).toMatchObject({ status: "invalid", code: "OVM_SIGNATURE_MALFORMED" })
  })

  test("a payload that was changed after it was signed", async () => {
    const { store, subject } = await artifact()
    await forged(store, subject, ({ dsseEnvelope }) => {
      const text = Buffer.from(dsseEnvelope.payload, "base64").toString()
      dsseEnvelope.payload = Buffer.from(`${text} `).toString("base64")
    })
    expect(await verdict(store, subject.digest)).toEqual({ status: "invalid", code: "OVM_SIGNATURE_INVALID" })
  })

  const malformed: Record<string, Parameters<typeof forged>[2]> = {
    "two signatures": ({ dsseEnvelope }) => dsseEnvelope.signatures.push({ sig: "AA==" }),
    "no signature": ({ dsseEnvelope }) => dsseEnvelope.signatures.splice(0),
    "a signature that is not base64": ({ dsseEnvelope }) => {
      dsseEnvelope.signatures = [{ sig: "***" }]
    },
    "an older version": (bundle) => {
      bundle.mediaType = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    },
    "a key and a certificate": ({ verificationMaterial }) => {
      verificationMaterial.certificate = { rawBytes: "AA==" }
    },
    "no envelope": (bundle) => Object.assign(bundle, { dsseEnvelope: undefined, messageSignature: {} }),
  }
  for (const [name, change] of Object.entries(malformed))
    test(`a bundle with ${name}`, async () => {
      const { store, subject } = await artifact()
      await forged(store, subject, change)
      expect(await verdict(store, subject.digest)).toEqual({
        status: "invalid",
        code: "OVM_SIGNATURE_MALFORMED",
      })
    })

  test("an oversized bundle, which is not fetched", async () => {
    const { store, subject } = await artifact()
    await attach(store, subject, Buffer.alloc((1 << 20) + 1, " "))
    const [found] = await judged(store, subject.digest)
    expect(found).toMatchObject({ status: "invalid", code: "OVM_TOO_LARGE" })
    expect(found?.reason).toContain("above the limit")
  })

  test("a referrer with two layers", async () => {
    const { store, subject } = await artifact()
    const layer = await pushed(store, BUNDLE, Buffer.from("{}"), {})
    const manifest = { schemaVersion: 2, artifactType: BUNDLE, layers: [layer, layer], subject }
    await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {})
    expect(await verdict(store, subject.digest)).toEqual({
      status: "invalid",
      code: "OVM_SIGNATURE_MALFORMED",
    })
  })

  test("a referrer whose subject is another, in a list that lies (OVMS-SIG-007)", async () => {
    const { store, subject } = await artifact()
    const other = await pushed(store, OCI_MANIFEST, Buffer.from('{"schemaVersion":2,"layers":[ ]}'), {})
    const referrer = await sign(store, other, ours)
    const lying = {
      ...evidenceIn(store),
      async *referrers() {
        yield referrer
        yield { ...referrer, digest: digestOf("gone") }
      },
    }
    const found = await Array.fromAsync(verdicts(lying, subject.digest, { authorities: [authority] }))
    expect(found).toMatchObject([{ status: "invalid", code: "OVM_SIGNATURE_SUBJECT_MISMATCH" }])
  })

  test("more than anybody signs: an end, and a reason; whoever stops before is not told", async () => {
    const { store, subject } = await artifact()
    const referrer = await sign(store, subject, ours)
    const flood = {
      ...evidenceIn(store),
      async *referrers() {
        yield referrer
        for (let index = 0; index < 20_001; index++) yield { ...referrer, digest: digestOf(`gone ${index}`) }
      },
    }
    const found = verdicts(flood, subject.digest, { authorities: [authority] })
    for await (const { status } of found) {
      expect(status).toBe("valid")
      break
    }
    const all = Array.fromAsync(verdicts(flood, subject.digest, { authorities: [authority] }))
    await expect(all).rejects.toMatchObject({
      code: "OVM_TOO_LARGE",
      message: expect.stringContaining(subject.digest),
    })
  })

  test("one bad piece neither hides nor spoils a good one (OVMS-SIG-004)", async () => {
    const { store, subject } = await artifact()
    await forged(store, subject, ({ dsseEnvelope }) => dsseEnvelope.signatures.splice(0))
    await sign(store, subject, theirs)
    await sign(store, subject, ours)
    const found = await judged(store, subject.digest)
    expect(found.map(({ status }) => status).sort()).toEqual(["invalid", "unknown", "valid"])
  })

  test("an attestation with the predicate type of a signature is not written (OVMS-SIG-015)", async () => {
    const { store, subject } = await artifact()
    const attestation = { predicateType: SIGNATURE_PREDICATE, predicate: {} }
    await expect(attest(store, subject, ours, attestation)).rejects.toMatchObject({
      code: "OVM_PREDICATE_MISMATCH",
    })
    expect(await judged(store, subject.digest)).toEqual([])
  })

  test("an authority whose key is none", async () => {
    const { store, subject } = await artifact()
    const bad: Authority = { kind: "key", name: "policy key 1", publicKey: "nonsense" }
    const asked = judged(store, subject.digest, { authorities: [bad] })
    await expect(asked).rejects.toMatchObject({
      code: "OVM_KEY_INVALID",
      message: expect.stringContaining("policy key 1"),
    })
  })
})
