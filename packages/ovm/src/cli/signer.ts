import { OvmError } from "../errors.ts"
import type { Sealer } from "../signing/bundle/write.ts"
import type { Signer } from "../signing/interfaces.ts"
import { keySigner, type Password, PRIVATE_KEY_LIMIT, parsePrivateKey } from "../signing/keys/private.ts"
import { readArgument } from "./argument-file.ts"
import { ask } from "./ask.ts"
import { isTerminal } from "./output.ts"

export interface SignerOptions {
  readonly key?: string
  readonly fulcioUrl?: string
  readonly rekorUrl?: string
  readonly timestampUrl?: string
  readonly identityToken?: string
}

/** By the key that was named, else keyless. Throws OVM_USAGE if it is neither, OVM_KEY_INVALID, OVM_KEY_LOCKED. */
export async function openSigner(options: SignerOptions): Promise<Signer | Sealer> {
  const { key, fulcioUrl, rekorUrl, timestampUrl, identityToken } = options
  if (key !== undefined) return openKey(key)
  if (fulcioUrl === undefined || identityToken === undefined)
    throw new OvmError(
      "OVM_USAGE",
      "nobody is named who signs: neither --key, nor --fulcio-url with --identity-token",
      {
        hint: "ovm key generate, then --key cosign.key",
      },
    )
  const { keylessSealer } = await import("../signing/keyless.ts")
  return keylessSealer({
    fulcioUrl,
    ...(rekorUrl !== undefined && { rekorUrl }),
    ...(timestampUrl !== undefined && { timestampUrl }),
    identityToken: (await readKeyFile(identityToken)).trim(),
  })
}

/** A key file, or `plugin:NAME/KEY`. */
export async function openKey(key: string): Promise<Signer> {
  if (key.startsWith("plugin:")) {
    const { parsePluginKey, pluginSigner } = await import("../signing/signer-plugin.ts")
    const plugin = parsePluginKey(key)
    if (plugin) return pluginSigner(plugin)
  }
  return keySigner(await parsePrivateKey(await readKeyFile(key), passwordOf(key), key))
}

/** A small text file. Throws OVM_KEY_INVALID for one that is larger than any key. */
export async function readKeyFile(path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await readArgument(path, PRIVATE_KEY_LIMIT))
  } catch (thrown) {
    if (thrown instanceof OvmError && thrown.code === "OVM_TOO_LARGE")
      throw new OvmError("OVM_KEY_INVALID", `${path} is too large for a key`, { cause: thrown })
    throw thrown
  }
}

/** COSIGN_PASSWORD, or what is typed; undefined where there is nobody to ask. */
function passwordOf(key: string): Password {
  return async () => {
    const { COSIGN_PASSWORD } = process.env
    if (COSIGN_PASSWORD !== undefined || !isTerminal("stdin")) return COSIGN_PASSWORD
    return ask(`Password of ${key}: `, "COSIGN_PASSWORD is not set", "", true)
  }
}
