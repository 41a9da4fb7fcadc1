import { createHash, sign as signed } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { artifactOf, OCI_MANIFEST, store } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import { digestOf, utf8 } from "../registry/content.ts"
import {
  attach,
  bundleOf,
  type EvidenceChanges,
  evidenceManifest,
  type Keys,
  newKeys,
} from "../signing/evidence.ts"
import { writeFallback } from "../signing/fallback.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

export interface Stage extends Scene {
  readonly keys: Keys
  readonly subject: { readonly digest: string; readonly size: number }
  /** What the file of the public key has, where that is not the key alone. */
  pem?: string
}

async function staged(scene: Scene): Promise<Stage> {
  const { digest, oci } = store(scene.registry.repository, artifactOf(), "1")
  return { ...scene, keys: newKeys(), subject: { digest, size: oci.length } }
}

/** Verifies `1` by the key; the code of the refusal. */
async function verified({ wrapper, registry, keys, pem = keys.publicPem, ...call }: Stage) {
  const key = join(call.folder, "key.pub")
  await writeFile(key, pem)
  return await wrapper.call("verify", [key, registry.reference("1")], call)
}

/** What is believed: `prepare` puts evidence there. */
export function believes(name: string, covers: readonly string[], prepare: (stage: Stage) => void): Plan {
  return {
    name: `verify/${name}`,
    covers,
    profile: "signing",
    async run(scene) {
      const stage = await staged(scene)
      prepare(stage)
      const { code, stderr } = await verified(stage)
      must(code === undefined, `it ended with ${code}: ${stderr.trim().slice(0, 300)}`)
    },
  }
}

/** What is not believed, with the code for it; a verifier may say of several that there is no signature. */
export function refuses(
  name: string,
  covers: readonly string[],
  codes: readonly string[],
  prepare: (stage: Stage) => void,
): Plan {
  return {
    name: `verify/refuses-${name}`,
    covers,
    profile: "signing",
    async run(scene) {
      const stage = await staged(scene)
      prepare(stage)
      const { code } = await verified(stage)
      const ended = code ? `with ${code}` : "well"
      must(code && codes.includes(code), `it ended ${ended}, and not with ${codes.join(" or ")}`)
    },
  }
}

/** Evidence of the key itself, changed. */
function wrong(name: string, covers: readonly string[], code: string, changes: EvidenceChanges): Plan {
  return refuses(name, covers, [code], ({ registry, subject, keys }) =>
    attach(registry.repository, subject, keys, changes),
  )
}

const OTHER = `sha256:${"0".repeat(64)}`
export const stranger = ({ registry, subject }: Stage) => attach(registry.repository, subject, newKeys())
export const own = ({ registry, subject, keys }: Stage) => attach(registry.repository, subject, keys)

const PLANS: readonly Plan[] = [
  believes("bundle", ["OVMS-SIG-001", "OVMS-SIG-024", "OVMS-SIG-040"], own),
  believes("fallback-tag", ["OVMS-DST-012", "OVMS-SIG-001"], (stage) => {
    own(stage)
    writeFallback(stage.registry.repository, stage.subject.digest)
    stage.registry.manners.referrers = false
  }),
  believes("second-page", ["OVMS-DST-012"], (stage) => {
    for (let others = 0; others < 3; others++) stranger(stage)
    own(stage)
    stage.registry.manners.page = 2
  }),
  believes("beside-broken", ["OVMS-SIG-004"], (stage) => {
    const { registry, subject, keys } = stage
    attach(registry.repository, subject, keys, { bundle: { mediaType: "nonsense" } })
    registry.repository.blobs.delete(digestOf(bundleOf(subject.digest, keys)))
    stranger(stage)
    own(stage)
  }),
  believes("beside-gone", ["OVMS-SIG-007"], (stage) => {
    const { registry, subject } = stage
    own(stage)
    const gone = stranger(stage)
    writeFallback(registry.repository, subject.digest)
    registry.manners.referrers = false
    registry.repository.manifests.delete(gone)
  }),
  believes("key-between-other-blocks", ["OVMS-SIG-060"], (stage) => {
    own(stage)
    const lines = stage.keys.publicPem.replaceAll("\n", " \r\n")
    stage.pem = `\ufeffours since May\r\n-----BEGIN NOTE-----\r\nAAAA\r\n-----END NOTE-----\r\n\r\n${lines}\r\nthe end\r\n`
  }),
  refuses("private-key-as-public", ["OVMS-SIG-044"], ["OVM_KEY_INVALID"], (stage) => {
    own(stage)
    stage.pem = stage.keys.privatePem
  }),
  refuses("private-key-beside-public", ["OVMS-SIG-044"], ["OVM_KEY_INVALID"], (stage) => {
    own(stage)
    stage.pem = `${stage.keys.publicPem}${stage.keys.privatePem}`
  }),
  believes("legacy-form", ["OVMS-SIG-001"], (stage) => legacy(stage)),
  refuses("nothing", ["OVMS-SIG-025"], ["OVM_SIGNATURE_MISSING"], () => {}),
  refuses("stranger", ["OVMS-SIG-025"], ["OVM_SIGNATURE_KEY_UNKNOWN"], stranger),
  wrong("other-bytes", ["OVMS-SIG-024", "OVMS-SIG-025"], "OVM_SIGNATURE_INVALID", {
    signed: utf8("something else"),
  }),
  wrong("other-subject", ["OVMS-SIG-021"], "OVM_SIGNATURE_SUBJECT_MISMATCH", {
    statement: { subject: [{ digest: { sha256: OTHER.slice(7) } }] },
  }),
  wrong("attestation", ["OVMS-SIG-023"], "OVM_PREDICATE_MISMATCH", {
    predicateType: "https://example.com/tested/v1",
  }),
  wrong("payload-type", ["OVMS-SIG-020"], "OVM_SIGNATURE_MALFORMED", { payloadType: "application/json" }),
  wrong("statement-version", ["OVMS-SIG-020"], "OVM_SIGNATURE_MALFORMED", {
    statement: { _type: "https://in-toto.io/Statement/v9" },
  }),
  wrong("two-signatures", ["OVMS-SIG-030"], "OVM_SIGNATURE_MALFORMED", { signatures: (one) => [one, one] }),
  wrong("bundle-version", ["OVMS-SIG-030", "OVMS-SIG-005"], "OVM_SIGNATURE_MALFORMED", {
    bundle: { mediaType: "application/vnd.dev.sigstore.bundle.v0.9+json" },
  }),
  wrong("other-repository", ["OVMS-SIG-029"], "OVM_SIGNATURE_REFERENCE_MISMATCH", {
    reference: "registry.example.com/other/machine",
  }),
  refuses(
    "listed-for-another",
    ["OVMS-SIG-007", "OVMS-DST-013"],
    ["OVM_SIGNATURE_SUBJECT_MISMATCH"],
    (stage) => {
      const { registry, subject, keys } = stage
      const { repository, manners } = registry
      const bundle = bundleOf(subject.digest, keys)
      repository.blob(bundle)
      repository.blob(utf8("{}"))
      const manifest = evidenceManifest({ digest: OTHER, size: 2 }, bundle)
      const digest = repository.put(manifest, OCI_MANIFEST)
      manners.fault = (_, response, path) => {
        if (!path.includes("/referrers/")) return false
        const entry = { mediaType: OCI_MANIFEST, digest, size: manifest.length }
        const index = "application/vnd.oci.image.index.v1+json"
        response.setHeader("content-type", index)
        const artifactType = "application/vnd.dev.sigstore.bundle.v0.3+json"
        response.end(
          JSON.stringify({ schemaVersion: 2, mediaType: index, manifests: [{ ...entry, artifactType }] }),
        )
        return true
      }
    },
  ),
  refuses("list-fails", ["OVMS-SIG-002"], ["OVM_REGISTRY_FAILED"], ({ registry }) => {
    registry.manners.fault = (_, response, path) => {
      if (!path.includes("/referrers/")) return false
      response.writeHead(500, { "content-length": 0 }).end()
      return true
    }
  }),
]

/** A simple-signing payload under the tag of the older form. */
export function legacy(
  { registry, subject, keys }: Pick<Stage, "registry" | "subject" | "keys">,
  others: { readonly before?: readonly object[]; readonly after?: readonly object[] } = {},
): void {
  const { repository } = registry
  const reference = registry.reference("1").replace(/:1$/, "")
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": reference },
        image: { "docker-manifest-digest": subject.digest },
        type: "cosign container image signature",
      },
      optional: null,
    }),
  )
  const signature = signed("sha256", payload, keys.privateKey).toString("base64")
  const config = Buffer.from(
    JSON.stringify({
      rootfs: { diff_ids: [`sha256:${createHash("sha256").update(payload).digest("hex")}`] },
    }),
  )
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: repository.blob(config),
      size: config.length,
    },
    layers: [
      ...(others.before ?? []),
      {
        mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
        digest: repository.blob(payload),
        size: payload.length,
        annotations: { "dev.cosignproject.cosign/signature": signature },
      },
      ...(others.after ?? []),
    ],
  }
  repository.put(
    Buffer.from(JSON.stringify(manifest)),
    OCI_MANIFEST,
    `${subject.digest.replace(":", "-")}.sig`,
  )
}

export const verifyChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
