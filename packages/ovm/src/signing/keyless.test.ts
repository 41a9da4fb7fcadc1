import { afterAll, beforeAll, describe, expect, setSystemTime, test } from "bun:test"
import { type Sigstore, startSigstore } from "@ovms/testkit/sigstore.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { MemoryStore } from "../content/memory.ts"
import { fetchAll } from "../content/read.ts"
import type { ErrorCode } from "../errors.ts"
import { attachBundle, pushed } from "./bundle/write.ts"
import { type Authority, SIGNATURE_PREDICATE, type Verdict } from "./interfaces.ts"
import { type KeylessServices, keylessSealer } from "./keyless.ts"
import { sign } from "./sign.ts"
import { evidenceIn } from "./source.ts"
import { verdicts } from "./verdicts.ts"

// Certificates, logs and timestamps of a private Sigstore: the real libraries on both sides, and services of this
// process.

const WHO = "https://example.com/builders/1"
const ISSUER = "https://accounts.example.com"
const HOUR = 3_600_000

type Keyless = Extract<Authority, { kind: "keyless" }>
// biome-ignore lint/suspicious/noExplicitAny: any part of a bundle is changed here
type Changed = (bundle: any) => void

describe("keyless", () => {
  let now: Sigstore
  let past: Sigstore
  beforeAll(async () => {
    now = await startSigstore()
    const yesterday = new Date(Math.floor(Date.now() / 1000) * 1000 - 24 * HOUR)
    // Its authorities' own certificates go by the system's clock.
    setSystemTime(yesterday)
    past = await startSigstore(yesterday)
    setSystemTime()
  })
  afterAll(async () => {
    await now?.[Symbol.asyncDispose]()
    await past?.[Symbol.asyncDispose]()
  })

  const services = (at: Sigstore, more: Partial<KeylessServices> = {}): KeylessServices => ({
    fulcioUrl: at.url,
    rekorUrl: at.url,
    timestampUrl: at.url,
    identityToken: at.token(WHO, ISSUER),
    ...more,
  })
  const authority = (at: Sigstore, more: Partial<Keyless> = {}): Keyless => ({
    kind: "keyless",
    name: "root.json",
    trustedRoot: at.trustedRoot(),
    identity: { is: WHO },
    issuer: { is: ISSUER },
    ...more,
  })

  /** A signature as `by` makes it, with its bundle as `change` leaves it, judged by `authorities`. */
  async function verdict(
    by: KeylessServices,
    authorities: readonly Authority[],
    change?: Changed,
  ): Promise<Verdict> {
    const store = new MemoryStore()
    const subject = await pushed(store, OCI_MANIFEST, Buffer.from('{"schemaVersion":2,"layers":[]}'), {})
    const signed = await sign(store, subject, keylessSealer(by), { reference: "example.com/a" })
    const target = change ? await altered(store, subject, signed, change) : store
    const found = await Array.fromAsync(verdicts(evidenceIn(target), subject.digest, { authorities }))
    expect(found).toHaveLength(1)
    return found[0] as Verdict
  }

  async function altered(store: MemoryStore, subject: Descriptor, signed: Descriptor, change: Changed) {
    const manifest = JSON.parse(Buffer.from(await fetchAll(store, signed)).toString())
    const bundle = JSON.parse(Buffer.from(await fetchAll(store, manifest.layers[0])).toString())
    change(bundle)
    const other = new MemoryStore()
    await attachBundle(
      other,
      subject,
      { bundle: Buffer.from(JSON.stringify(bundle)), predicateType: SIGNATURE_PREDICATE },
      {},
    )
    return other
  }

  const refused = async (
    by: KeylessServices,
    authorities: readonly Authority[],
    expected: { status: Verdict["status"]; code: ErrorCode },
    change?: Changed,
  ) => {
    const { status, code, reason } = await verdict(by, authorities, change)
    expect({ status, code: code ?? "none", reason: reason ?? 0 }).toEqual({
      ...expected,
      reason: expect.any(String),
    })
    return reason ?? ""
  }

  describe("is valid", () => {
    test("by identity and issuer, with log entry, timestamp and SCT (OVMS-SIG-026, OVMS-SIG-027)", async () => {
      expect(await verdict(services(now), [authority(now)])).toMatchObject({
        status: "valid",
        signatory: { kind: "certificate", identity: WHO, issuer: ISSUER },
        signedReference: "example.com/a",
        signedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      })
    })

    test("long after the certificate has expired, for there is a timestamp (OVMS-SIG-031)", async () => {
      const { rekorUrl: _r, timestampUrl: _t, ...rest } = services(past)
      for (const by of [
        { ...rest, rekorUrl: past.url },
        { ...rest, timestampUrl: past.url },
      ]) {
        const found = await verdict(by, [authority(past, { log: "optional", timestamp: "either" })])
        expect(found.reason).toBeUndefined()
        expect(Date.parse(found.signedAt ?? "")).toBeLessThan(Date.now() - 23 * HOUR)
      }
    })

    test("by an authority alone where a timestamp is required: a log is none (OVMS-POL-036)", async () => {
      const { timestampUrl: _t, ...logged } = services(now)
      const found = await verdict(logged, [authority(now, { timestamp: "required" })])
      expect(found).toMatchObject({ status: "invalid", code: "OVM_TIMESTAMP_INVALID" })
      expect((await verdict(logged, [authority(now, { timestamp: "either" })])).status).toBe("valid")
    })

    test("by regular expressions that match the whole", async () => {
      const identity = { matches: "https://example\\.com/builders/[0-9]+" }
      const found = await verdict(services(now), [
        authority(now, { identity, issuer: { matches: "https://.*" } }),
      ])
      expect(found.status).toBe("valid")
    })

    test("without timestamps where they are optional, as long as the certificate is valid", async () => {
      const { rekorUrl: _r, timestampUrl: _t, ...by } = services(now)
      const found = await verdict(by, [authority(now, { log: "optional", timestamp: "optional" })])
      expect(found).toMatchObject({ status: "valid", signatory: { identity: WHO } })
      expect(found.signedAt).toBeUndefined()
    })

    test("if any one of several authorities says so", async () => {
      const other = authority(past, { name: "other.json" })
      expect((await verdict(services(now), [other, authority(now)])).status).toBe("valid")
    })
  })

  describe("is refused", () => {
    test("an identity or issuer that is another, or is matched in part", async () => {
      for (const identity of [
        { is: "https://example.com/builders/2" },
        { matches: "builders" },
        { matches: "https://example" },
      ])
        expect(
          await refused(services(now), [authority(now, { identity })], {
            status: "unknown",
            code: "OVM_CERTIFICATE_IDENTITY_MISMATCH",
          }),
        ).toContain(WHO)
      for (const issuer of [{ is: "https://evil.example.com" }, { matches: "accounts" }])
        expect(
          await refused(services(now), [authority(now, { issuer })], {
            status: "unknown",
            code: "OVM_CERTIFICATE_ISSUER_MISMATCH",
          }),
        ).toContain(ISSUER)
    })

    test("an expired certificate without a timestamp", async () => {
      const { rekorUrl: _r, timestampUrl: _t, ...by } = services(past)
      await refused(by, [authority(past, { log: "optional" })], {
        status: "invalid",
        code: "OVM_TIMESTAMP_INVALID",
      })
      const lenient = authority(past, { log: "optional", timestamp: "optional" })
      await refused(by, [lenient], { status: "invalid", code: "OVM_CERTIFICATE_INVALID" })
    })

    test("no log entry where one is required", async () => {
      const { rekorUrl: _, ...by } = services(now)
      await refused(by, [authority(now)], { status: "invalid", code: "OVM_LOG_ENTRY_INVALID" })
    })

    test("a certificate authority, log or timestamp authority of others", async () => {
      const theirs = JSON.parse(past.trustedRoot())
      const mixed = (part: string) => {
        const root = { ...JSON.parse(now.trustedRoot()), [part]: theirs[part] }
        return [authority(now, { trustedRoot: JSON.stringify(root) })]
      }
      const by = services(now)
      await refused(by, mixed("certificateAuthorities"), {
        status: "invalid",
        code: "OVM_CERTIFICATE_INVALID",
      })
      await refused(by, mixed("ctlogs"), { status: "invalid", code: "OVM_CERTIFICATE_INVALID" })
      await refused(by, mixed("tlogs"), { status: "invalid", code: "OVM_LOG_ENTRY_INVALID" })
      await refused(by, mixed("timestampAuthorities"), { status: "invalid", code: "OVM_TIMESTAMP_INVALID" })
    })

    /** Another byte in the middle of base64. */
    const flip = (text: string) => {
      const bytes = Buffer.from(text, "base64")
      const at = bytes.length >> 1
      bytes[at] = (bytes[at] ?? 0) ^ 1
      return bytes.toString("base64")
    }
    const parts: Record<string, [Changed, ErrorCode]> = {
      "the signature": [
        ({ dsseEnvelope }) => {
          dsseEnvelope.signatures[0].sig = flip(dsseEnvelope.signatures[0].sig)
        },
        // The timestamp and the log entry are of the signature: they are the first to differ.
        "OVM_TIMESTAMP_INVALID",
      ],
      "the payload": [
        ({ dsseEnvelope }) => {
          const text = Buffer.from(dsseEnvelope.payload, "base64").toString()
          dsseEnvelope.payload = Buffer.from(`${text} `).toString("base64")
        },
        "OVM_LOG_ENTRY_INVALID",
      ],
      "the certificate": [
        ({ verificationMaterial }) => {
          verificationMaterial.certificate.rawBytes = flip(verificationMaterial.certificate.rawBytes)
        },
        "OVM_CERTIFICATE_INVALID",
      ],
      "the timestamp": [
        ({ verificationMaterial }) => {
          const [stamp] = verificationMaterial.timestampVerificationData.rfc3161Timestamps
          stamp.signedTimestamp = flip(stamp.signedTimestamp)
        },
        "OVM_TIMESTAMP_INVALID",
      ],
      "the log's promise": [
        ({ verificationMaterial }) => {
          const [entry] = verificationMaterial.tlogEntries
          entry.inclusionPromise.signedEntryTimestamp = flip(entry.inclusionPromise.signedEntryTimestamp)
        },
        "OVM_LOG_ENTRY_INVALID",
      ],
      "the log's checkpoint": [
        ({ verificationMaterial }) => {
          const [entry] = verificationMaterial.tlogEntries
          const { checkpoint } = entry.inclusionProof
          checkpoint.envelope = checkpoint.envelope.replace("\n1\n", "\n2\n")
        },
        "OVM_LOG_ENTRY_INVALID",
      ],
      "the log entry itself": [
        ({ verificationMaterial }) => {
          const [entry] = verificationMaterial.tlogEntries
          entry.canonicalizedBody = flip(entry.canonicalizedBody)
        },
        "OVM_LOG_ENTRY_INVALID",
      ],
      "the log entry's time": [
        ({ verificationMaterial }) => {
          const [entry] = verificationMaterial.tlogEntries
          entry.integratedTime = String(Number(entry.integratedTime) + 1)
        },
        "OVM_LOG_ENTRY_INVALID",
      ],
    }
    for (const [name, [change, code]] of Object.entries(parts))
      test(`a bundle in which ${name} was changed`, async () => {
        await refused(services(now), [authority(now)], { status: "invalid", code }, change)
      })

    test("a changed payload, by what the certificate itself says, where nobody is named", async () => {
      const [change] = parts["the payload"] as [Changed, string]
      await refused(services(now), [], { status: "invalid", code: "OVM_SIGNATURE_INVALID" }, change)
      await refused(services(now), [], { status: "unknown", code: "OVM_SIGNATURE_KEY_UNKNOWN" })
    })

    test("a certificate's signature where a key is asked for, and a trusted root that is none", async () => {
      const { generateKeyPair } = await import("./keys/generate.ts")
      const { publicKey } = await generateKeyPair("p256", "")
      const key: Authority = { kind: "key", name: "cosign.pub", publicKey }
      await refused(services(now), [key], { status: "unknown", code: "OVM_SIGNATURE_KEY_UNKNOWN" })
      const bad = verdict(services(now), [authority(now, { trustedRoot: "{}" })])
      expect((await bad).status).toBe("invalid")
      await expect(
        verdict(services(now), [authority(now, { trustedRoot: "no JSON" })]),
      ).rejects.toMatchObject({
        code: "OVM_KEY_INVALID",
        message: expect.stringContaining("root.json"),
      })
    })
  })

  describe("signing", () => {
    test("a service that refuses is named, and the token is not shown", async () => {
      const identityToken = "secret-token-that-is-no-jwt"
      const failing = [
        services(now, { identityToken }),
        services(now, { fulcioUrl: `${now.url}/nowhere` }),
        services(now, { rekorUrl: `${now.url}/nowhere` }),
        services(now, { timestampUrl: `${now.url}/nowhere` }),
      ]
      for (const by of failing) {
        const thrown = await keylessSealer(by)
          .seal(Buffer.from("{}"))
          .catch((error: unknown) => error)
        expect(thrown).toMatchObject({ code: "OVM_SIGNER_FAILED" })
        expect(String(thrown)).not.toContain(by.identityToken)
        if (by.identityToken !== identityToken) expect(String(thrown)).toContain("/nowhere")
      }
    })
  })
})
