import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto"
import { utf8 } from "../../registry/content.ts"
import { BUNDLE, dsseBytes, evidenceManifest, IN_TOTO, SIGNATURE } from "../../signing/evidence.ts"
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
  const payload = utf8(
    JSON.stringify({
      _type: "https://in-toto.io/Statement/v1",
      subject: [{ name: "golden/machine", digest: { sha256: machine.digest.slice("sha256:".length) } }],
      predicateType,
      predicate,
    }),
  )
  const sig = sign(null, dsseBytes(IN_TOTO, payload), privateKey).toString("base64")
  const spki = publicKey.export({ type: "spki", format: "der" })
  const bundle = utf8(
    JSON.stringify({
      mediaType: BUNDLE,
      verificationMaterial: { publicKey: { hint: createHash("sha256").update(spki).digest("base64") } },
      dsseEnvelope: { payload: payload.toString("base64"), payloadType: IN_TOTO, signatures: [{ sig }] },
    }),
  )
  const subject = { digest: machine.digest, size: machine.oci.length }
  return {
    predicateType,
    manifest: evidenceManifest(subject, bundle, { predicateType }),
    blobs: [bundle, utf8("{}")],
  }
}
