import { createPrivateKey, createPublicKey } from "node:crypto"
import { utf8 } from "../../registry/content.ts"
import { bundleOf, evidenceManifest, SIGNATURE } from "../../signing/evidence.ts"
import type { Artifact } from "../make.ts"
import { CREATED } from "./machine.ts"

const PROVENANCE = "https://slsa.dev/provenance/v1"

/** Ed25519, whose signatures are the same each time (RFC 8032): 32 bytes that everybody knows, in PKCS#8 (RFC 8410). */
const privateKey = createPrivateKey({
  key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, "OVMS")]),
  format: "der",
  type: "pkcs8",
})
const publicKey = createPublicKey(privateKey)

export const GOLDEN_KEYS = {
  "golden.key": privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  "golden.pub": publicKey.export({ type: "spki", format: "pem" }).toString(),
} as const

/** A manifest that refers to a machine, and its blobs. */
export interface Evidence {
  readonly predicateType: string
  readonly manifest: Buffer
  readonly blobs: readonly Buffer[]
}

/** A signature of the machine by the golden key, for whatever name it has. */
export function signatureOf(machine: Artifact): Evidence {
  return evidenceOf(machine, SIGNATURE, {})
}

/** What the machine was made by, signed by the same key. */
export function provenanceOf(machine: Artifact): Evidence {
  return evidenceOf(machine, PROVENANCE, {
    buildDefinition: {
      buildType: "https://example.com/golden/v1",
      externalParameters: { source: "golden/machine" },
      resolvedDependencies: [],
    },
    runDetails: { builder: { id: "https://example.com/golden" }, metadata: { startedOn: CREATED } },
  })
}

function evidenceOf(machine: Artifact, predicateType: string, predicate: object): Evidence {
  const digest = { sha256: machine.digest.slice("sha256:".length) }
  const statement = { subject: [{ name: "golden/machine", digest }], predicate }
  const bundle = bundleOf(machine.digest, { privateKey, publicKey }, { predicateType, statement })
  const subject = { digest: machine.digest, size: machine.oci.length }
  return {
    predicateType,
    manifest: evidenceManifest(subject, bundle, { predicateType }),
    blobs: [bundle, utf8("{}")],
  }
}
