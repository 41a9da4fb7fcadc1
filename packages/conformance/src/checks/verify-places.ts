import { generateKeyPairSync } from "node:crypto"
import { OCI_MANIFEST } from "../artifact/make.ts"
import type { Check } from "../check.ts"
import { digestOf, utf8 } from "../registry/content.ts"
import { attach, BUNDLE, bundleOf, evidenceManifest } from "../signing/evidence.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { believes, legacy, own, refuses, type Stage, stranger } from "./verify.ts"
import { type Plan, withRegistry } from "./with-registry.ts"

// Where evidence lies, and what is around it (spec/signing.md, "Where evidence is").

/** A layer of the older form that is no signature by anybody. */
function damaged({ registry }: Stage): object {
  const content = utf8("{}")
  const digest = registry.repository.blob(content)
  const mediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
  const annotations = { "dev.cosignproject.cosign/signature": "AAAA" }
  return { mediaType, digest, size: content.length, annotations }
}

/** What is asked for below a path of this kind cannot be had. */
function fails({ registry }: Stage, part: RegExp): void {
  registry.manners.fault = (_, response, path) => {
    if (!part.test(path)) return false
    response.writeHead(500, { "content-length": 0 }).end()
    return true
  }
}

/** A list that says of nothing what type it is; `changes` are those of the manifest that it names. */
function untyped({ registry, subject, keys }: Stage, changes: object = {}): void {
  const { repository, manners } = registry
  const digest = attach(repository, subject, keys, { manifest: changes })
  const entry = { mediaType: OCI_MANIFEST, digest, size: repository.manifests.get(digest)?.bytes.length }
  const mediaType = "application/vnd.oci.image.index.v1+json"
  manners.fault = (_, response, path) => {
    if (!path.includes("/referrers/")) return false
    response.setHeader("content-type", mediaType)
    response.end(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [entry] }))
    return true
  }
}

/** A bundle by the key, in a place of the digest of another one of the same length. */
function swapped({ registry, subject, keys }: Stage): void {
  const { repository } = registry
  const bundle = bundleOf(subject.digest, keys)
  const named = Buffer.from(bundle)
  named.write(" ", named.length - 1)
  repository.blob(utf8("{}"))
  repository.put(evidenceManifest(subject, named), OCI_MANIFEST)
  repository.blobs.set(digestOf(named), bundle)
}

const PLANS: readonly Plan[] = [
  believes("list-without-types", ["OVMS-SIG-001", "OVMS-DST-013"], (stage) => untyped(stage)),
  believes("legacy-beside-another", ["OVMS-SIG-004"], (stage) => legacy(stage, { before: [damaged(stage)] })),
  refuses("two-layers", ["OVMS-SIG-006"], ["OVM_SIGNATURE_MALFORMED"], ({ registry, subject, keys }) => {
    const bundle = bundleOf(subject.digest, keys)
    const layer = { mediaType: BUNDLE, digest: registry.repository.blob(bundle), size: bundle.length }
    attach(registry.repository, subject, keys, { manifest: { layers: [layer, layer] } })
  }),
  refuses("another-type-of-layer", ["OVMS-SIG-006"], ["OVM_SIGNATURE_MALFORMED"], (stage) => {
    const { registry, subject, keys } = stage
    const bundle = bundleOf(subject.digest, keys)
    const layer = {
      mediaType: "application/json",
      digest: registry.repository.blob(bundle),
      size: bundle.length,
    }
    attach(registry.repository, subject, keys, { manifest: { layers: [layer] } })
  }),
  refuses("legacy-beside-another-type", ["OVMS-SIG-006"], ["OVM_SIGNATURE_MALFORMED"], (stage) =>
    legacy(stage, { after: [{ ...damaged(stage), mediaType: "application/vnd.oci.image.layer.v1.tar" }] }),
  ),
  refuses(
    "another-type-of-referrer",
    ["OVMS-SIG-007", "OVMS-DST-013"],
    ["OVM_SIGNATURE_MISSING"],
    (stage) => {
      const type = "application/vnd.example.notes.v1"
      const config = { mediaType: type, digest: digestOf(utf8("{}")), size: 2 }
      untyped(stage, { artifactType: type, config })
    },
  ),
  refuses("bytes-of-another-digest", ["OVMS-SIG-003"], ["OVM_DIGEST_MISMATCH"], swapped),
  refuses("legacy-tag-fails", ["OVMS-SIG-002"], ["OVM_REGISTRY_FAILED"], (stage) =>
    fails(stage, /\/manifests\/sha256-[0-9a-f]+\.sig$/),
  ),
  refuses("another-tag", ["OVMS-SIG-029"], ["OVM_SIGNATURE_REFERENCE_MISMATCH"], (stage) => {
    const { registry, subject, keys } = stage
    attach(registry.repository, subject, keys, { reference: registry.reference("2") })
  }),
  refuses("several", ["OVMS-SIG-065"], ["OVM_SIGNATURE_INVALID"], (stage) => {
    const { registry, subject, keys } = stage
    stranger(stage)
    attach(registry.repository, subject, keys, { predicateType: "https://example.com/tested/v1" })
    attach(registry.repository, subject, keys, { signed: utf8("something else") })
    stranger(stage)
  }),
  refuses("key-of-another-algorithm", ["OVMS-SIG-044"], ["OVM_KEY_INVALID"], (stage) => {
    own(stage)
    const { publicKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" })
    stage.pem = publicKey.export({ type: "spki", format: "pem" }).toString()
  }),
]

export const verifyPlaceChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
