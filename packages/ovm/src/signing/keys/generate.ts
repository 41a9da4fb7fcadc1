import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { GENERATED, type Generated } from "./algorithms.ts"
import { encrypt } from "./encrypted.ts"

/** A key pair as files: the private half encrypted as Cosign does it, the public half SPKI; both PEM. */
export async function generateKeyPair(
  algorithm: Generated,
  password: string,
): Promise<{ privateKey: string; publicKey: string }> {
  const { privateKey, publicKey } = generate(algorithm)
  const sealed = await encrypt(privateKey.export({ type: "pkcs8", format: "der" }), password)
  return {
    privateKey: pemBlock("ENCRYPTED SIGSTORE PRIVATE KEY", sealed),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
  }
}

function generate(algorithm: Generated): { privateKey: KeyObject; publicKey: KeyObject } {
  const { curve } = GENERATED[algorithm]
  return curve === undefined
    ? generateKeyPairSync("ed25519")
    : generateKeyPairSync("ec", { namedCurve: curve })
}

function pemBlock(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`
}
