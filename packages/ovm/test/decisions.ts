import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Digest } from "../src/content/digest.ts"
import { OCI_MANIFEST } from "../src/content/manifest.ts"
import { MemoryStore } from "../src/content/memory.ts"
import { isPath, parseReference } from "../src/registry/reference.ts"
import { attachBundle, pushed } from "../src/signing/bundle/write.ts"
import { SIGNATURE_PREDICATE } from "../src/signing/interfaces.ts"
import { legacyTag } from "../src/signing/legacy/tags.ts"
import type { Decision } from "../src/signing/policy/decision.ts"
import { judge } from "../src/signing/policy/judge.ts"
import { loadPolicy } from "../src/signing/policy/load.ts"
import { evidenceIn } from "../src/signing/source.ts"
import { kindOf } from "../src/signing/statement.ts"
import { verdicts } from "../src/signing/verdicts.ts"
import { bytesOfDocument, type EvidenceDocument, type VectorOf } from "./vectors.ts"

/** Puts a piece of evidence beside its subject; one in the older form is the only one under its tag. */
export async function putEvidence(
  store: MemoryStore,
  subject: Digest,
  { bundle, layer }: EvidenceDocument,
  predicateType = SIGNATURE_PREDICATE,
): Promise<void> {
  const target = { mediaType: OCI_MANIFEST, digest: subject, size: 2 }
  if (bundle) await attachBundle(store, target, { bundle: bytesOfDocument(bundle), predicateType }, {})
  if (!layer) return
  const { mediaType, content, annotations } = layer
  const one = { ...(await pushed(store, mediaType, bytesOfDocument(content), {})), annotations }
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [one] }
  const tagged = await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {})
  await store.tag(tagged, legacyTag(subject, kindOf(predicateType)))
}

/** The type that a bundle says of itself, as its manifest says it too; a signature where it says none. */
function typeIn({ bundle }: EvidenceDocument): string {
  try {
    const { dsseEnvelope } = JSON.parse(Buffer.from(bundle ? bytesOfDocument(bundle) : []).toString())
    return JSON.parse(Buffer.from(dsseEnvelope.payload, "base64").toString()).predicateType
  } catch {
    return SIGNATURE_PREDICATE
  }
}

/** What ovm makes of a vector of the kind `decision`; `folder` is empty, for the policy and its files. */
export async function decide(folder: string, { input }: VectorOf<"decision">): Promise<Decision> {
  const { policy, files = {}, now, reference, machine, snapshot, index, evidence = [] } = input
  mkdirSync(folder, { recursive: true })
  const path = join(folder, "policy.json")
  writeFileSync(path, bytesOfDocument(policy))
  for (const [name, document] of Object.entries(files))
    writeFileSync(join(folder, name), bytesOfDocument(document))
  const store = new MemoryStore()
  for (const { subject, ...one } of evidence) await putEvidence(store, subject, one, typeIn(one))
  const name = isPath(reference) ? undefined : parseReference(reference)
  const digest = index ?? (snapshot ?? machine).digest
  const asked = {
    reference,
    digest,
    machine,
    ...(name && { name }),
    ...(snapshot && { snapshot }),
    ...(index && { index }),
  }
  const options = { source: evidenceIn(store), verdicts, now: Date.parse(now) }
  return (await judge(await loadPolicy(path, new Map()), path, asked, options)).decision
}
