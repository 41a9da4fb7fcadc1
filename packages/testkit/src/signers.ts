import type { Signer } from "../../ovm/src/signing/interfaces.ts"
import { generateKeyPair } from "../../ovm/src/signing/keys/generate.ts"
import { keySigner, parsePrivateKey } from "../../ovm/src/signing/keys/private.ts"

export interface TestSigner extends Signer {
  /** SPKI, PEM. */
  readonly public: string
  /** As Cosign has it, with an empty password. */
  readonly private: string
}

/** A fresh P-256 key pair that signs, and is written as Cosign writes it. */
export async function makeSigner(): Promise<TestSigner> {
  const { publicKey, privateKey } = await generateKeyPair("p256", "")
  const signer = keySigner(await parsePrivateKey(privateKey, async () => "", "test.key"))
  return {
    public: publicKey,
    private: privateKey,
    publicKey: (call) => signer.publicKey(call),
    sign: (message, call) => signer.sign(message, call),
  }
}
