import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFile } from "node:fs/promises"
import { altered, type FaultyRegistry, startFaults } from "@ovms/testkit/faults.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { type Digest, digestOf } from "../src/content/digest.ts"
import { OCI_INDEX, OCI_MANIFEST } from "../src/content/manifest.ts"
import { connectRepository } from "../src/registry/connect.ts"
import type { HttpStore } from "../src/registry/http-store.ts"
import { parseReference } from "../src/registry/reference.ts"
import { BUNDLE } from "../src/signing/bundle/parse.ts"
import { pushed } from "../src/signing/bundle/write.ts"
import { generateKeyPair } from "../src/signing/keys/generate.ts"
import { keySigner, parsePrivateKey } from "../src/signing/keys/private.ts"
import { signLegacy } from "../src/signing/legacy/sign.ts"
import { legacyTag } from "../src/signing/legacy/tags.ts"
import { sign } from "../src/signing/sign.ts"
import { Sandbox } from "./sandbox.ts"

// `ovm verify` where registries, or those who push to them, mean harm.

setDefaultTimeout(240_000)

const JUNK = 10_000
const skip = registryMissing
if (skip) console.log(`SKIP packages/ovm/test/hostile-signing.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("verify", () => {
  let box: Sandbox
  let registry: RegistryServer
  let key: string
  let signer: ReturnType<typeof keySigner>

  beforeAll(async () => {
    box = await Sandbox.create()
    // Without the referrers API: what is listed is what somebody wrote.
    registry = await startRegistry({ program: "docker-registry" })
    const pair = await generateKeyPair("p256", "")
    key = await box.file("k.pub", pair.publicKey)
    signer = keySigner(await parsePrivateKey(pair.privateKey, async () => "", "k"))
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  /** A repository of its own with one small artifact under the tag 1. */
  async function artifact(name: string, host = registry.host, repository = name) {
    const store = await connectRepository(parseReference(`${host}/m/${repository}:1`), { plainHttp: true })
    const config = await pushed(store, "application/vnd.oci.empty.v1+json", Buffer.from("{}"), {})
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [], annotations: { name } }
    const subject = await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {})
    await store.tag(subject, "1")
    return { store, subject, image: `${host}/m/${name}:1` }
  }

  const verify = (image: string, ...more: readonly string[]) => ["verify", "--key", key, ...more, image]
  const fallback = (digest: Digest) => digest.replace(":", "-")

  /** The registry with a list of its own making under the fallback tag of `subject`. */
  function listing(subject: Digest, manifests: readonly object[]): FaultyRegistry {
    const list = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })
    return liar(({ pathname }) =>
      pathname.endsWith(fallback(subject))
        ? new Response(list, { headers: { "Content-Type": OCI_INDEX } })
        : undefined,
    )
  }

  const entries = (count: number, artifactType: string) =>
    Array.from({ length: count }, (_, index) => ({
      mediaType: OCI_MANIFEST,
      digest: digestOf(`${artifactType} ${index}`),
      size: 1000,
      artifactType,
    }))

  test("nothing there: said as such, and so for a type of attestation", async () => {
    const { image } = await artifact("bare")
    await box.fails(verify(image), "OVM_SIGNATURE_MISSING", [image])
    await box.fails(verify(image, "--type", "spdxjson"), "OVM_ATTESTATION_MISSING", [
      "https://spdx.dev/Document",
    ])
  })

  test("10,000 referrers of other types hide nothing, and are not fetched", async () => {
    const { store, subject, image } = await artifact("junk")
    const good = { ...(await sign(store, subject, signer)), artifactType: BUNDLE }
    await using proxy = listing(subject.digest, [...entries(JUNK, "application/vnd.example.junk"), good])
    const [found] = (await box.json(verify(image.replace(registry.host, proxy.host), "--any-reference")))
      .verdicts
    expect(found.status).toBe("valid")
    expect(proxy.seen.length).toBeLessThan(20)
  })

  test("thousands that say to be bundles and are gone, and one that belongs to another", async () => {
    const other = await artifact("other", registry.host, "lies")
    const { store, subject, image } = await artifact("lies")
    const theirs = { ...(await sign(other.store, other.subject, signer)), artifactType: BUNDLE }
    const good = { ...(await sign(store, subject, signer)), artifactType: BUNDLE }
    await using proxy = listing(subject.digest, [theirs, ...entries(JUNK / 5, BUNDLE), good])
    const at = image.replace(registry.host, proxy.host)
    const [found] = (await box.json(verify(at, "--any-reference"))).verdicts
    expect(found.status).toBe("valid")
    await using alone = listing(subject.digest, [theirs])
    const culprits = [subject.digest, other.subject.digest]
    await box.fails(
      verify(image.replace(registry.host, alone.host)),
      "OVM_SIGNATURE_SUBJECT_MISMATCH",
      culprits,
    )
  })

  test("a bundle above the limit is told as that, with both numbers (OVMS-SIG-003)", async () => {
    const { store, subject, image } = await artifact("large")
    const size = (1 << 20) + 1
    const layer = await pushed(store, BUNDLE, Buffer.alloc(size, " "), {})
    const config = await pushed(store, "application/vnd.oci.empty.v1+json", Buffer.from("{}"), {})
    const manifest = {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: BUNDLE,
      config,
      layers: [layer],
      subject,
    }
    await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {})
    await box.fails(verify(image), "OVM_TOO_LARGE", [image, `${1 << 20}`, `${size}`, layer.digest])
    // A good one beside it counts all the same.
    await sign(store, subject, signer)
    expect(await box.ok(verify(image))).toContain("valid")
  })

  test("a list that cannot be had is no empty list (OVMS-SIG-002)", async () => {
    const { image } = await artifact("broken")
    await using proxy = liar(({ pathname }) =>
      /\/referrers\/|manifests\/sha256-[0-9a-f]{64}$/.test(pathname)
        ? new Response("", { status: 500 })
        : undefined,
    )
    await box.fails(verify(image.replace(registry.host, proxy.host)), "OVM_REGISTRY_FAILED", ["500"])
  })

  test("a tag of the older form that means an image", async () => {
    const { store, subject, image } = await artifact("image-tag")
    const tar = "application/vnd.oci.image.layer.v1.tar"
    const layer = await pushed(store, tar, Buffer.from("a disk"), {})
    const config = await pushed(store, "application/vnd.oci.empty.v1+json", Buffer.from("{}"), {})
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] }
    const target = await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {})
    await store.tag(target, legacyTag(subject.digest, "signature"))
    await box.fails(verify(image), "OVM_SIGNATURE_MALFORMED", [image, tar])
    // A good one beside it counts all the same.
    await sign(store, subject, signer)
    expect(await box.ok(verify(image))).toContain("valid")
  })

  test("a signature for another repository, in either form, unless it is said to be right (OVMS-SIG-029)", async () => {
    const { store, subject, image } = await artifact("replayed")
    const at = { store, prefix: "", place: image }
    await signLegacy(at, subject, signer, { reference: "registry.example.com/other" })
    const culprits = [image, "registry.example.com/other"]
    await box.fails(verify(image), "OVM_SIGNATURE_REFERENCE_MISMATCH", culprits)
    await sign(store, subject, signer, { reference: "registry.example.com/other" })
    await box.fails(verify(image), "OVM_SIGNATURE_REFERENCE_MISMATCH", culprits)
    for (const more of [["--any-reference"], ["--reference", "registry.example.com/other:3"]])
      expect(await box.ok(verify(image, ...more))).toContain("valid")
    await sign(store, subject, signer, { reference: image.replace(/1$/, "2") })
    await box.fails(verify(image), "OVM_SIGNATURE_REFERENCE_MISMATCH", [image])
  })

  test("different bytes the second time: of the tag, of the referrer, of the bundle", async () => {
    const { store, subject, image } = await artifact("turncoat")
    const other = await artifact("turncoat-other")
    await sign(store, subject, signer)
    const moved = await readManifest(other.store, other.subject.digest)
    // The tag means something else from the second look on: what was resolved first is what is verified.
    await using tag = liar(({ pathname }, earlier) =>
      pathname.endsWith("/manifests/1") && earlier > 0
        ? new Response(new Uint8Array(moved), { headers: { "Content-Type": OCI_MANIFEST } })
        : undefined,
    )
    const told = await box.json(verify(image.replace(registry.host, tag.host), "--any-reference"))
    expect(told).toMatchObject({ digest: subject.digest, verdicts: [{ status: "valid" }] })

    for (const part of [/\/manifests\/sha256:/, /\/blobs\//]) {
      await using proxy = startFaults(async ({ url, request, forward }) => {
        if (request.method !== "GET" || !part.test(url.pathname) || url.pathname.includes(subject.digest))
          return undefined
        return altered(await forward(), (body) =>
          body.map((byte, at) => (at === body.length >> 1 ? byte ^ 1 : byte)),
        )
      }, registry.host)
      await box.fails(verify(image.replace(registry.host, proxy.host)), "OVM_DIGEST_MISMATCH", ["sha256:"])
    }
  })

  test("several keys; one that is none, is private, or is not there", async () => {
    const { store, subject, image } = await artifact("keys")
    await sign(store, subject, signer)
    const other = await generateKeyPair("p256", "")
    const stranger = await box.file("stranger.pub", other.publicKey)
    expect(await box.ok(["verify", "--key", stranger, "--key", key, image])).toContain("valid")
    await box.fails(["verify", "--key", stranger, image], "OVM_SIGNATURE_KEY_UNKNOWN", [
      image,
      "stranger.pub",
    ])
    const secret = await box.file("secret.key", other.privateKey)
    await box.fails(["verify", "--key", secret, image], "OVM_KEY_INVALID", ["secret.key"])
    await box.fails(["verify", "--key", box.path("absent"), image], "OVM_FILE_UNREADABLE", ["absent"])
    await box.fails(["verify", image], "OVM_USAGE", ["nobody is named"])
    const half = ["verify", "--certificate-identity", "x", image]
    await box.fails(half, "OVM_USAGE", ["--trusted-root"])
    const sealed = ["sign", "--key", secret, image]
    await box.fails(sealed, "OVM_KEY_LOCKED", ["secret.key"], { env: { COSIGN_PASSWORD: "wrong" } })
    expect(await readFile(secret, "utf8")).toBe(other.privateKey)
  })

  /** The registry, but for what `answer` answers; `earlier` counts the requests for the same before. */
  function liar(answer: (url: URL, earlier: number) => Response | undefined): FaultyRegistry {
    return startFaults(({ url, earlier }) => answer(url, earlier), registry.host)
  }
})

async function readManifest(store: HttpStore, digest: Digest): Promise<Buffer> {
  const target = await store.resolve(digest)
  return Buffer.concat(await Array.fromAsync(await store.fetch(target)))
}
