import { afterAll, beforeAll, describe, expect, setDefaultTimeout, setSystemTime, test } from "bun:test"
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { startFaults } from "@ovms/testkit/faults.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { openRepository } from "@ovms/testkit/repository.ts"
import { makeSigner, type TestSigner } from "@ovms/testkit/signers.ts"
import { type Sigstore, startSigstore } from "@ovms/testkit/sigstore.ts"
import { copy } from "../content/copy.ts"
import { openLayout } from "../content/layout/store.ts"
import { paths } from "../host/paths.ts"
import { parseReference } from "../registry/reference.ts"
import { attest } from "../signing/attest.ts"
import { BUNDLE } from "../signing/bundle/parse.ts"
import { pushed } from "../signing/bundle/write.ts"
import { keylessSealer } from "../signing/keyless.ts"
import type { Decision } from "../signing/policy/decision.ts"
import { Policy } from "../signing/policy/policy.ts"
import { sign } from "../signing/sign.ts"
import { type Images, openImages } from "./images.ts"
import type { PreparedImage } from "./prepared.ts"

// Real signatures in a real store and a real registry. What follows from verdicts is in signing/policy/judge.test.ts.

setDefaultTimeout(240_000)

const SLSA = "https://slsa.dev/provenance/v1"
const REJECT = { requirements: [{ type: "reject" }] }
const DIGEST = { requirements: [{ type: "digestOnly" }] }

let root: string
let images: Images
let [alice, bob] = [] as unknown as [TestSigner, TestSigner]
let serial = 0

const path = (name: string) => join(root, name)
const layout = () => openLayout(path("store"), { durable: false })

const signed = (more: object = {}) => ({ type: "signed", keys: [{ path: "alice.pub" }], ...more })
const attested = (...conditions: object[]) => ({
  type: "attested",
  predicateType: SLSA,
  keys: [{ path: "alice.pub" }],
  conditions,
})
const list = (...requirements: object[]) => ({ requirements })

async function setPolicy(policy: object | string): Promise<void> {
  const text = typeof policy === "string" ? policy : JSON.stringify({ schemaVersion: 1, ...policy })
  await writeFile(path("policy.json"), text)
}

/** Another machine under `name`, unsigned. */
async function machine(name: string): Promise<string> {
  await packGuest(path("store"), parseReference(name).toString(), `ticks=${++serial}`)
  return name
}

/** Signs what `name` stands for in the store. */
async function signAs(signer: TestSigner, name: string, reference?: string): Promise<void> {
  await using store = await layout()
  const subject = await store.resolve(parseReference(name).toString())
  await sign(store, subject, signer, reference === undefined ? {} : { reference })
}

async function prepare(
  reference: string,
  more: { onPhase?: () => Promise<void>; pull?: "missing" } = {},
): Promise<PreparedImage> {
  const opened = await images.open(reference, { lease: "test", pull: "never", ...more })
  await opened.close()
  return opened.image
}

/** The decision against a start that must be refused. */
async function refused(reference: string): Promise<Decision> {
  const error = await refusal(prepare(reference))
  expect({ code: error.code, message: error.message }).toMatchObject({ code: "OVM_POLICY_REFUSED" })
  expect(error.message).toContain(reference.startsWith("/") ? reference : parseReference(reference).name)
  return error.detail as Decision
}

const codes = ({ rules }: Decision) => rules.map(({ type, code }) => `${type} ${code ?? "holds"}`)

describe.skipIf(guestMissing !== "")(`a policy ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-policy-"))
    ;[alice, bob] = [await makeSigner(), await makeSigner()]
    await writeFile(path("alice.pub"), alice.public)
    await writeFile(path("bob.pub"), bob.public)
    images = await openImages(path("store"), path("derived"), new Policy(path("policy.json")))
  })
  afterAll(() => rm(root, { recursive: true }))

  describe("signed", () => {
    test("lets what is signed pass, and nothing else; a refusal is not remembered (OVMS-POL-084)", async () => {
      await setPolicy({ default: list(signed()) })
      const name = await machine("r.example/signed/a:1")
      expect(codes(await refused(name))).toEqual(["signed OVM_SIGNATURE_MISSING"])
      await signAs(bob, name)
      expect(codes(await refused(name))).toEqual(["signed OVM_SIGNATURE_KEY_UNKNOWN"])
      await signAs(alice, name)
      expect((await prepare(name)).warnings).toEqual([])
    })

    test("refuses an attestation in the place of a signature", async () => {
      await setPolicy({ default: list(signed()) })
      const name = await machine("r.example/signed/attested:1")
      await using store = await layout()
      const subject = await store.resolve(name)
      await attest(store, subject, alice, { predicateType: SLSA, predicate: {} })
      expect(codes(await refused(name))).toEqual(["signed OVM_PREDICATE_MISMATCH"])
    })

    test("refuses a signature of another digest, moved beside this one", async () => {
      await setPolicy({ default: list(signed()) })
      const name = await machine("r.example/signed/other:1")
      const from = await machine("r.example/signed/other:2")
      await signAs(alice, from)
      await using store = await layout()
      const [found] = await Array.fromAsync(store.referrers(await store.resolve(from)))
      if (!found) throw new Error("there is no signature")
      const manifest = JSON.parse(
        await Bun.file(join(path("store/blobs/sha256"), found.digest.slice(7))).text(),
      )
      manifest.subject = await store.resolve(name)
      await pushed(store, found.mediaType, Buffer.from(JSON.stringify(manifest)), {})
      expect(codes(await refused(name))).toEqual(["signed OVM_SIGNATURE_SUBJECT_MISMATCH"])
    })

    test("asks all requirements, and one of several keys is enough for each", async () => {
      const both = { ...signed(), keys: [{ path: "bob.pub" }, { pem: alice.public }] }
      await setPolicy({ default: list(both, signed()) })
      const name = await machine("r.example/signed/two:1")
      await signAs(bob, name)
      expect(codes(await refused(name))).toEqual(["signed holds", "signed OVM_SIGNATURE_KEY_UNKNOWN"])
      await signAs(alice, name)
      await prepare(name)
    })

    test("a signature for another repository is of no use, and unavailable decides where none is named", async () => {
      const strict = { signedIdentity: { type: "matchRepository", unavailable: "reject" } }
      await setPolicy({
        default: REJECT,
        scopes: {
          "strict.example": list(signed(strict)),
          "usual.example": list(signed()),
          "mirror.example": list(
            signed({ signedIdentity: { type: "exactRepository", repository: "up.example/edge" } }),
          ),
        },
      })
      for (const host of ["strict.example", "usual.example"]) {
        const name = await machine(`${host}/edge:1`)
        await signAs(alice, name, `${host}/core:1`)
        expect(codes(await refused(name))).toEqual(["signed OVM_SIGNATURE_REFERENCE_MISMATCH"])
        await signAs(alice, name)
        if (host === "strict.example") await refused(name)
        else await prepare(name)
        await signAs(alice, name, `${host}/edge:2`)
        await prepare(name)
      }
      const mirrored = await machine("mirror.example/cache/edge:1")
      await signAs(alice, mirrored, "mirror.example/cache/edge")
      await refused(mirrored)
      await signAs(alice, mirrored, "up.example/edge:7")
      await prepare(mirrored)
    })
  })

  test("attested wants one attestation that says what it must", async () => {
    const builder = { pointer: "/runDetails/builder/id", in: ["https://ci.example.com"] }
    await setPolicy({ default: list(attested(builder, { pointer: "/runDetails/debug", exists: false })) })
    const name = await machine("r.example/attested:1")
    expect(codes(await refused(name))).toEqual(["attested OVM_ATTESTATION_MISSING"])
    await using store = await layout()
    const subject = await store.resolve(name)
    const say = (runDetails: object, by = alice) =>
      attest(store, subject, by, { predicateType: SLSA, predicate: { runDetails } })
    const builtBy = (id: string) => ({ builder: { id } })
    await say(builtBy("https://elsewhere.example.com"))
    await say({ ...builtBy("https://ci.example.com"), debug: true })
    await say(builtBy("https://ci.example.com"), bob)
    await signAs(alice, name)
    const { rules } = await refused(name)
    const reasons = rules[0]?.evidence?.map(({ counts, reason }) => `${counts} ${reason}`).join("\n")
    expect(reasons).toContain("false /runDetails/builder/id is")
    expect(reasons).toContain("false /runDetails/debug is there")
    expect(reasons).not.toContain("true")
    await say(builtBy("https://ci.example.com"))
    await prepare(name)
  })

  test("platforms and age are judged by the manifest", async () => {
    const name = await machine("r.example/plain:1")
    await setPolicy({ default: list({ type: "platforms", allowed: ["linux/arm64"] }) })
    expect(codes(await refused(name))).toEqual(["platforms OVM_POLICY_REFUSED"])
    await setPolicy({ default: list({ type: "platforms", allowed: ["linux/amd64"] }) })
    await prepare(name)
    await setPolicy({ default: list({ type: "maxAge", hours: 1 }) })
    expect((await refused(name)).rules[0]?.reason).toContain("nothing says when")
    const created = new Date(Date.now() - 1_800_000).toISOString()
    await packGuest(path("store"), "r.example/young:1", "ticks=1", { metadata: { created } })
    const young = await prepare("r.example/young:1")
    expect(images.isAdmitted("r.example/young:1", { image: young })).toBe(true)
    try {
      setSystemTime(new Date(Date.now() + 1_800_001))
      expect(images.isAdmitted("r.example/young:1", { image: young })).toBe(false)
      expect((await refused("r.example/young:1")).rules[0]?.reason).toContain("hours ago")
    } finally {
      setSystemTime()
    }
  })

  describe("identities", () => {
    const WHO = "https://example.com/builders/1"
    const ISSUER = "https://accounts.example.com"
    const services: Record<"now" | "past", Sigstore> = {} as never

    beforeAll(async () => {
      services.now = await startSigstore()
      const yesterday = new Date(Math.floor(Date.now() / 1000) * 1000 - 24 * 3_600_000)
      setSystemTime(yesterday)
      services.past = await startSigstore(yesterday)
      setSystemTime()
      for (const [name, service] of Object.entries(services))
        await writeFile(path(`${name}.json`), service.trustedRoot())
    })
    afterAll(async () => {
      for (const service of Object.values(services)) await service[Symbol.asyncDispose]()
    })

    const byIdentity = (trustedRoot: string, identity: object) => ({
      type: "signed",
      identities: [identity],
      trustedRoot,
    })

    async function certify(name: string, at: Sigstore, who = WHO, issuer = ISSUER): Promise<void> {
      await using store = await layout()
      const { url } = at
      const identityToken = at.token(who, issuer)
      const by = keylessSealer({ fulcioUrl: url, rekorUrl: url, timestampUrl: url, identityToken })
      await sign(store, await store.resolve(name), by)
    }

    test("are believed as far as the trusted root, the patterns and the issuer go", async () => {
      const builders = { identityPattern: "https://example\\.com/builders/[0-9]+", issuer: ISSUER }
      await setPolicy({ default: list(byIdentity("now.json", builders)) })
      const name = await machine("r.example/keyless:1")
      const steps: [() => Promise<void>, string][] = [
        [() => signAs(alice, name), "OVM_SIGNATURE_KEY_UNKNOWN"],
        [
          () => certify(name, services.now, "https://example.com/builders/1/evil"),
          "OVM_CERTIFICATE_IDENTITY_MISMATCH",
        ],
        [
          () => certify(name, services.now, WHO, "https://elsewhere.example.com"),
          "OVM_CERTIFICATE_ISSUER_MISMATCH",
        ],
        [() => certify(name, services.past), "OVM_TIMESTAMP_INVALID"],
      ]
      for (const [step, code] of steps) {
        await step()
        const { rules } = await refused(name)
        expect(rules[0]?.evidence?.map((one) => one.code)).toContain(code as never)
      }
      await certify(name, services.now)
      expect((await prepare(name)).warnings).toEqual([])
    })

    test("give an age by a time that is verified, which a new signature renews", async () => {
      const rules = (root: string) => [
        byIdentity(root, { identity: WHO, issuer: ISSUER }),
        { type: "maxAge", hours: 12 },
      ]
      await setPolicy({
        default: REJECT,
        scopes: { "past.example": list(...rules("past.json")), "now.example": list(...rules("now.json")) },
      })
      const old = await machine("past.example/keyless:1")
      await certify(old, services.past)
      const { rules: found } = await refused(old)
      expect(found.map(({ type, holds }) => `${type} ${holds}`)).toEqual(["signed true", "maxAge false"])
      expect(found[1]?.reason).toContain("signed at")
      const fresh = await machine("now.example/keyless:1")
      await certify(fresh, services.now)
      await prepare(fresh)
    })
  })

  test("lies beside the operator's other settings (OVMS-POL-007)", () => {
    expect(paths({ OVM_HOME: "/x" }).policy).toBe("/x/policy.json")
    const own = process.getuid?.() === 0 ? "/etc/ovm/policy.json" : "/config/ovm/policy.json"
    expect(paths({ XDG_CONFIG_HOME: "/config" }).policy).toBe(own)
  })

  describe("is no way round by", () => {
    test("a path: a layout, an archive, a manifest file (OVMS-REF-013, OVMS-SEC-006)", async () => {
      await packGuest(path("layout"), "edge:1", "ticks=1000")
      await setPolicy({ default: DIGEST, local: list(signed()), scopes: { localhost: DIGEST } })
      expect((await refused(path("layout"))).scope).toBe("local")
      expect((await refused(`${path("layout")}:edge:1`)).scope).toBe("local")
      const oci = JSON.parse(await readFile(await blobOf("layout", "edge:1"), "utf8"))
      await cp(join(path("layout/blobs/sha256"), oci.config.digest.slice(7)), path("layout/machine.json"))
      expect((await refused(path("layout/machine.json"))).scope).toBe("local")
      await using store = await openLayout(path("layout"))
      await sign(store, await store.resolve("edge:1"), alice)
      expect((await prepare(path("layout"))).warnings).toEqual([])
      // Its signature stayed in the layout; but what is beside a path counts for the path alone.
      await refused(path("layout/machine.json"))
    })

    test("a name without a host", async () => {
      await setPolicy({ default: DIGEST, local: REJECT })
      expect((await refused(await machine("mine:1"))).scope).toBe("local")
      await setPolicy({ default: REJECT, local: DIGEST })
      await prepare("mine:1")
    })

    test("the digest of one repository under the name of another (OVMS-POL-016)", async () => {
      const name = await machine("prod.example/edge:1")
      await setPolicy({ default: REJECT, scopes: { "dev.example": DIGEST } })
      await refused(name)
      const digest = (await images.resolve(name))?.digest
      const error = await refusal(prepare(`dev.example/edge@${digest}`))
      expect(error.code).toBe("OVM_NAME_UNKNOWN")
      expect(error.message).toContain("dev.example/edge")
      expect((await refused(`prod.example/edge@${digest}`)).scope).toBe("default")
    })

    test("a tag that a digest stands beside", async () => {
      const name = await machine("tags.example/edge:1")
      await setPolicy({ default: REJECT, scopes: { "tags.example/edge:free": DIGEST } })
      const digest = (await images.resolve(name))?.digest
      expect((await refused(`tags.example/edge:free@${digest}`)).scope).toBe("default")
    })
  })

  test("the tag moved between verification and start: what was verified is what runs (OVMS-POL-081)", async () => {
    await setPolicy({ default: list(signed()) })
    const name = await machine("r.example/moved:1")
    await signAs(alice, name)
    const first = (await images.resolve(name))?.digest
    const move = async () => {
      await machine(name)
    }
    expect((await prepare(name, { onPhase: move })).digest).toBe(first ?? "sha256:")
    expect((await images.resolve(name))?.digest).not.toBe(first)
    await refused(name)
  })

  describe("that changes", () => {
    const admitted = async (name: string) => {
      const digest = (await images.resolve(name))?.digest ?? "sha256:"
      return images.isAdmitted(name, { image: { base: { mediaType: "", digest, size: 0 } } })
    }

    test("is asked again about what it let pass, and so is a changed key file (OVMS-POL-008, OVMS-POL-037)", async () => {
      await setPolicy({ default: list(signed()) })
      const name = await machine("r.example/changes:1")
      await signAs(alice, name)
      expect(await admitted(name)).toBe(false)
      await prepare(name)
      expect(await admitted(name)).toBe(true)
      await setPolicy({ default: list(signed()), local: DIGEST })
      expect(await admitted(name)).toBe(false)
      await prepare(name)
      await writeFile(path("alice.pub"), bob.public)
      expect(await admitted(name)).toBe(false)
      await refused(name)
      await writeFile(path("alice.pub"), alice.public)
      await prepare(name)
      await setPolicy({ default: REJECT })
      await refused(name)
      await rm(path("policy.json"))
      expect((await prepare(name)).warnings.join()).toContain("no policy")
    })

    test.each<[string, () => Promise<unknown>, string]>([
      ["is no JSON", () => setPolicy("{"), "policy.json"],
      ["has no default", () => setPolicy({}), "/default"],
      ["has an unknown field", () => setPolicy({ default: DIGEST, defualt: REJECT }), "/defualt"],
      [
        "has two equal scopes",
        () => setPolicy('{"schemaVersion":1,"default":{},"scopes":{"a.example":{},"a.example":{}}}'),
        "/scopes/a.example",
      ],
      [
        "names a key that is not there",
        () => setPolicy({ default: list({ type: "signed", keys: [{ path: "nobody.pub" }] }) }),
        "/default/requirements/0/keys/0/path",
      ],
      [
        "names a private key",
        async () => {
          await writeFile(path("alice.key"), alice.private)
          await setPolicy({ default: list({ type: "signed", keys: [{ path: "alice.key" }] }) })
        },
        "alice.key",
      ],
      [
        "names what is no trusted root",
        () => setPolicy({ default: list(signed({ trustedRoot: "alice.pub" })) }),
        "/default/requirements/0/trustedRoot",
      ],
      [
        "is a link to nothing",
        async () => {
          await rm(path("policy.json"))
          await symlink("nowhere", path("policy.json"))
        },
        "policy.json",
      ],
    ])("and %s lets nothing start (OVMS-POL-006)", async (_, change, culprit) => {
      await setPolicy({ default: DIGEST })
      const name = await machine("r.example/malformed:1")
      await prepare(name)
      await change()
      const error = await refusal(prepare(name))
      expect(error.code).toBe("OVM_POLICY_INVALID")
      expect(error.message).toContain(path("policy.json"))
      expect(error.message).toContain(culprit)
      expect(await admitted(name)).toBe(false)
      expect((await refusal(prepare(path("store")))).code).toBe("OVM_POLICY_INVALID")
      expect((await images.policyInfo()).error?.code).toBe("OVM_POLICY_INVALID")
      await rm(path("policy.json"))
      await setPolicy({ default: DIGEST })
      await prepare(name)
    })
  })

  describe("that is not there", () => {
    const bad = async (name: string, change: (bundle: { dsseEnvelope: { payload: string } }) => void) => {
      await using store = await layout()
      const subject = await store.resolve(name)
      await signAs(alice, name)
      const [found] = await Array.fromAsync(store.referrers(subject))
      const blob = (digest: string) => join(path("store/blobs/sha256"), digest.slice(7))
      const manifest = JSON.parse(await readFile(blob(found?.digest ?? ""), "utf8"))
      const bundle = JSON.parse(await readFile(blob(manifest.layers[0].digest), "utf8"))
      change(bundle)
      const layer = await pushed(store, BUNDLE, Buffer.from(JSON.stringify(bundle)), {})
      const changed = { ...manifest, layers: [layer] }
      await pushed(store, manifest.mediaType, Buffer.from(JSON.stringify(changed)), {})
    }

    test("says that nobody signed, and that nobody knows who did (OVMS-POL-091)", async () => {
      await rm(path("policy.json"), { force: true })
      const name = await machine("r.example/none:1")
      expect((await prepare(name)).warnings).toEqual([
        "the machine is not signed, and no policy asks for that",
      ])
      const other = await machine("r.example/none:2")
      await signAs(alice, other)
      expect((await prepare(other)).warnings.join()).toContain("may be believed")
    })

    test("refuses a signature that is there and bad, by its own code (OVMS-POL-090, OVMS-SEC-005)", async () => {
      const malformed = await machine("r.example/none:3")
      await bad(malformed, (bundle) => Object.assign(bundle, { dsseEnvelope: {} }))
      const error = await refusal(prepare(malformed))
      expect(error.code).toBe("OVM_SIGNATURE_MALFORMED")
      expect(error.message).toContain(malformed)
      const other = await machine("r.example/none:4")
      await bad(other, ({ dsseEnvelope }) => {
        const statement = JSON.parse(Buffer.from(dsseEnvelope.payload, "base64").toString())
        statement.subject[0].digest.sha256 = "0".repeat(64)
        dsseEnvelope.payload = Buffer.from(JSON.stringify(statement)).toString("base64")
      })
      expect((await refusal(prepare(other))).code).toBe("OVM_SIGNATURE_SUBJECT_MISMATCH")
      // An attestation that is bad says nothing about who stands for it.
    })
  })

  describe.skipIf(Boolean(registryMissing))("at a pull", () => {
    /** A machine in the registry `host`; what it is called there, and its kernel's digest. */
    async function remote(host: string, repository: string) {
      const name = `${host}/${repository}:1`
      await packGuest(path("elsewhere"), name, `ticks=${++serial}`)
      await using store = await openLayout(path("elsewhere"))
      const repo = openRepository(parseReference(name))
      const target = await copy(store, name, repo, { name: "1" })
      return { name, repo, target }
    }

    test("refuses before blobs are fetched (OVMS-POL-082); then takes the evidence along (OVMS-POL-083)", async () => {
      await using upstream = await startRegistry()
      await using proxy = startFaults(() => undefined, upstream.host)
      await setPolicy({ default: list(signed()) })
      const { name, repo, target } = await remote(proxy.host, "pull/edge")
      const before = proxy.seen.length
      const error = await refusal(prepare(name, { pull: "missing" }))
      expect(error.code).toBe("OVM_POLICY_REFUSED")
      const gets = proxy.seen
        .slice(before)
        .filter(({ method, path }) => method === "GET" && /blobs/.test(path))
      // The OVMS manifest, which is small, and nothing else.
      expect(gets).toHaveLength(1)
      expect(await images.resolve(name)).toBeUndefined()

      await sign(repo, target, bob)
      await sign(repo, target, alice, { reference: name })
      expect((await prepare(name, { pull: "missing" })).digest).toBe(target.digest)
      await upstream.stop()
      // Another process, which remembers nothing.
      images = await openImages(path("store"), path("derived"), new Policy(path("policy.json")))
      expect((await prepare(name)).digest).toBe(target.digest)
      await using store = await layout()
      expect(await Array.fromAsync(store.referrers(target))).toHaveLength(2)
    })

    test("what it relies on is taken along whatever else is there", async () => {
      await using upstream = await startRegistry()
      await setPolicy({ default: list(signed()) })
      const { name, repo, target } = await remote(upstream.host, "pull/junk")
      for (let at = 0; at < 20; at++) {
        const junk = await pushed(repo, BUNDLE, Buffer.from(`{"junk":${at}}`), {})
        const empty = await pushed(repo, "application/vnd.oci.empty.v1+json", Buffer.from("{}"), {})
        const manifest = {
          schemaVersion: 2,
          mediaType: target.mediaType,
          artifactType: BUNDLE,
          config: empty,
          layers: [junk],
          subject: target,
        }
        await pushed(repo, target.mediaType, Buffer.from(JSON.stringify(manifest)), {})
      }
      await sign(repo, target, alice)
      expect((await prepare(name, { pull: "missing" })).digest).toBe(target.digest)
      images = await openImages(path("store"), path("derived"), new Policy(path("policy.json")))
      expect((await prepare(name)).digest).toBe(target.digest)
    })

    test.each(["manifests", "blobs"] as const)(
      "a registry is asked for %s once, so that they cannot be other ones the second time",
      async (kind) => {
        await using upstream = await startRegistry()
        let lie = false
        await using proxy = startFaults(({ request, url, earlier }) => {
          if (!lie || request.method !== "GET" || !url.pathname.includes(`/${kind}/sha256:`)) return undefined
          return earlier === 0 ? undefined : new Response('{"schemaVersion":2}', { status: 200 })
        }, upstream.host)
        await setPolicy({ default: list(signed()) })
        const { name, repo, target } = await remote(proxy.host, `pull/second-${kind}`)
        await sign(repo, target, alice)
        lie = true
        await prepare(name, { pull: "missing" })
        expect((await images.resolve(name))?.digest).toBe(target.digest)
      },
    )

    test("a registry is asked for nothing twice", async () => {
      await using upstream = await startRegistry()
      await using proxy = startFaults(() => undefined, upstream.host)
      await setPolicy({ default: list(signed()) })
      const { name, repo, target } = await remote(proxy.host, "pull/once")
      await sign(repo, target, alice)
      const before = proxy.seen.length
      await prepare(name, { pull: "missing" })
      const asked = proxy.seen.slice(before).map(({ method, path }) => `${method} ${path}`)
      expect(asked).toEqual([...new Set(asked)])
      expect(asked.filter((one) => one.endsWith(`/manifests/${target.digest}`))).toEqual([])
    })

    test("nothing is pulled while the policy cannot be understood", async () => {
      await using upstream = await startRegistry()
      await using proxy = startFaults(() => undefined, upstream.host)
      const { name } = await remote(proxy.host, "pull/invalid")
      const before = proxy.seen.length
      await setPolicy("{}")
      expect((await refusal(prepare(name, { pull: "missing" }))).code).toBe("OVM_POLICY_INVALID")
      expect(proxy.seen).toHaveLength(before)
    })
  })
})

async function blobOf(folder: string, name: string): Promise<string> {
  await using store = await openLayout(path(folder))
  return join(path(folder), "blobs/sha256", (await store.resolve(name)).digest.slice(7))
}
