import { verify as holds } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { artifactOf, OCI_MANIFEST, store } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import { type Manifest, parsed } from "../registry/content.ts"
import { attach, BUNDLE, dsseBytes, IN_TOTO, type Keys, newKeys, SIGNATURE } from "../signing/evidence.ts"
import { fallbackTag, writeFallback } from "../signing/fallback.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

interface Signed {
  readonly keys: Keys
  readonly subject: string
  /** The manifests around the evidence that are there now. */
  readonly evidence: readonly Manifest[]
}

/** Has `1` signed, after `prepare`; fails if that is refused. */
async function signed(scene: Scene, prepare: (subject: { digest: string; size: number }) => void = () => {}) {
  const { wrapper, registry, folder } = scene
  const { digest, oci } = store(registry.repository, artifactOf(), "1")
  prepare({ digest, size: oci.length })
  const keys = newKeys()
  const path = join(folder, "private.key")
  await writeFile(path, keys.privatePem, { mode: 0o600 })
  const { code, stderr } = await wrapper.call("sign", [path, registry.reference("1")], scene)
  must(code === undefined, `the sign ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  const manifests = [...registry.repository.manifests.values()].map(({ bytes }) => parsed(bytes))
  return { keys, subject: digest, evidence: manifests.filter(({ subject }) => subject?.digest === digest) }
}

/** The envelope of the one piece of evidence, and its statement. */
function envelopeOf({ registry }: Scene, { evidence }: Signed) {
  const [manifest, ...more] = evidence
  must(manifest && more.length === 0, `${evidence.length} manifests refer to the subject, and not one`)
  const [layer, ...others] = manifest.layers ?? []
  must(layer?.mediaType === BUNDLE && others.length === 0, `there is not one layer of the type ${BUNDLE}`)
  const bundle = JSON.parse(registry.repository.blobs.get(layer.digest)?.toString() ?? "{}")
  const payload = Buffer.from(bundle.dsseEnvelope?.payload ?? "", "base64")
  return { manifest, bundle, payload, statement: JSON.parse(payload.toString() || "{}") }
}

/** Digests in the list under the fallback tag. */
function listed({ registry }: Scene, subject: string): readonly string[] {
  const { repository } = registry
  const list = repository.manifests.get(repository.tags.get(fallbackTag(subject)) ?? "")
  return parsed(list?.bytes ?? Buffer.alloc(0)).manifests?.map(({ digest }) => digest) ?? []
}

function plan(name: string, covers: readonly string[], run: Plan["run"]): Plan {
  return { name: `sign/${name}`, covers, run, profile: "signing" }
}

const PLANS: readonly Plan[] = [
  plan("form", ["OVMS-SIG-010"], async (scene) => {
    const { manifest } = envelopeOf(scene, await signed(scene))
    must(
      manifest.config?.mediaType === "application/vnd.oci.empty.v1+json",
      "its config is not the empty one",
    )
    must(manifest.artifactType === BUNDLE, `its artifactType is ${manifest.artifactType}`)
    const { bytes } = scene.registry.repository.manifests.get(manifest.subject?.digest ?? "") ?? {}
    must(
      manifest.subject?.mediaType === OCI_MANIFEST && manifest.subject.size === bytes?.length,
      "the subject is not described as what it is",
    )
    const notes = manifest.annotations ?? {}
    must(
      notes["dev.sigstore.bundle.content"] === "dsse-envelope",
      "an annotation does not say that it is DSSE",
    )
    must(notes["dev.sigstore.bundle.predicateType"] === SIGNATURE, "an annotation does not say what it is")
  }),
  plan("statement", ["OVMS-SIG-013", "OVMS-SIG-014", "OVMS-SIG-022"], async (scene) => {
    const one = await signed(scene)
    const { bundle, statement } = envelopeOf(scene, one)
    must(
      bundle.dsseEnvelope?.payloadType === IN_TOTO,
      `the payload type is ${bundle.dsseEnvelope?.payloadType}`,
    )
    must(bundle.mediaType === BUNDLE, `the bundle is a ${bundle.mediaType}`)
    const said = statement.subject?.[0]?.annotations?.["ovms.reference"]
    const { host } = scene.registry
    must(
      said === undefined || [`${host}/suite/machine`, `${host}/suite/machine:1`].includes(said),
      `it says that it is for ${said}`,
    )
    must(statement._type === "https://in-toto.io/Statement/v1", `the statement is a ${statement._type}`)
    must(`sha256:${statement.subject?.[0]?.digest?.sha256}` === one.subject, "its subject is another one")
    must(statement.predicateType === SIGNATURE, `the predicate type is ${statement.predicateType}`)
    must(JSON.stringify(statement.predicate) === "{}", "the predicate is not empty")
  }),
  plan("signature", ["OVMS-SIG-024", "OVMS-SIG-040", "OVMS-SIG-043"], async (scene) => {
    const one = await signed(scene)
    const { bundle, payload } = envelopeOf(scene, one)
    const [signature] = bundle.dsseEnvelope?.signatures ?? []
    const bytes = Buffer.from(signature?.sig ?? "", "base64")
    must(
      holds("sha256", dsseBytes(IN_TOTO, payload), one.keys.publicKey, bytes),
      "the signature does not hold",
    )
  }),
  plan("no-referrers-api", ["OVMS-SIG-011", "OVMS-DST-003"], async (scene) => {
    scene.registry.manners.referrers = false
    scene.registry.manners.subjectHeader = false
    const { subject } = await signed(scene)
    must(listed(scene, subject).length === 1, "the fallback tag does not list the signature")
  }),
  plan("subject-header-lies", ["OVMS-DST-003"], async (scene) => {
    // It says that it has the subject, and has no list. Whoever believes the header leaves a signature nobody finds.
    scene.registry.manners.referrers = false
    const { subject } = await signed(scene)
    must(listed(scene, subject).length === 1, "it believed OCI-Subject, and nobody finds the signature")
  }),
  plan("fallback-kept", ["OVMS-SIG-011"], async (scene) => {
    scene.registry.manners.referrers = false
    scene.registry.manners.subjectHeader = false
    let other = ""
    const { subject } = await signed(scene, (target) => {
      other = attach(scene.registry.repository, target, newKeys())
      writeFallback(scene.registry.repository, target.digest)
    })
    const digests = listed(scene, subject)
    must(digests.includes(other), "what was in the list is gone")
    must(digests.length === 2, `the list has ${digests.length} entries, and not two`)
  }),
  plan("fallback-of-others", ["OVMS-OCI-090"], async (scene) => {
    const { registry, wrapper, folder } = scene
    registry.manners.referrers = false
    registry.manners.subjectHeader = false
    const { digest } = store(registry.repository, artifactOf(), "1")
    const other = store(registry.repository, artifactOf({ plain: true }), fallbackTag(digest))
    const path = join(folder, "private.key")
    await writeFile(path, newKeys().privatePem, { mode: 0o600 })
    await wrapper.call("sign", [path, registry.reference("1")], scene)
    must(
      registry.repository.tags.get(fallbackTag(digest)) === other.digest,
      "it wrote over what is no list under the fallback tag",
    )
  }),
  plan("bytes-before-manifest", ["OVMS-DST-001"], async (scene) => {
    await signed(scene)
    const writes = scene.registry.asked(/PUT|POST|PATCH/, "/v2/")
    const manifest = writes.findIndex(({ path }) => path.includes("/manifests/"))
    const late = writes.slice(manifest).some(({ path }) => path.includes("/blobs/"))
    must(manifest >= 0 && !late, "a blob was sent after the manifest that refers to it")
  }),
]

export const signChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
