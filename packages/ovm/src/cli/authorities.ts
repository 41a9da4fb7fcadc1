import { OvmError } from "../errors.ts"
import type { Authority } from "../signing/interfaces.ts"
import { readArgument } from "./argument-file.ts"
import { readKeyFile } from "./signer.ts"

/** Bytes. */
const TRUSTED_ROOT_LIMIT = 4 << 20

export interface AuthorityOptions {
  readonly keys: readonly string[]
  readonly trustedRoot?: string
  readonly certificateIdentity?: string
  readonly certificateIdentityRegexp?: string
  readonly certificateOidcIssuer?: string
  readonly certificateOidcIssuerRegexp?: string
  readonly insecureIgnoreLog?: boolean
  readonly insecureIgnoreTimestamp?: boolean
}

/**
 * Whom the options name, where somebody has to be named. Throws as `authoritiesOf` does, and OVM_USAGE if nobody is.
 */
export async function namedAuthorities(options: AuthorityOptions): Promise<readonly Authority[]> {
  const found = await authoritiesOf(options)
  if (found.length > 0) return found
  throw new OvmError("OVM_USAGE", "nobody is named whose signature it should be", {
    hint: "--key cosign.pub, or --certificate-identity and --certificate-oidc-issuer with --trusted-root",
  })
}

/**
 * Whom the options name; perhaps nobody. Throws OVM_USAGE if that is half of somebody, and what reading files throws.
 */
export async function authoritiesOf(options: AuthorityOptions): Promise<readonly Authority[]> {
  const { keys, trustedRoot } = options
  const identity = either(
    options.certificateIdentity,
    options.certificateIdentityRegexp,
    "--certificate-identity",
  )
  const issuer = either(
    options.certificateOidcIssuer,
    options.certificateOidcIssuerRegexp,
    "--certificate-oidc-issuer",
  )
  const root = trustedRoot === undefined ? undefined : await readText(trustedRoot)
  const found: Authority[] = []
  for (const name of keys)
    found.push({ kind: "key", name, publicKey: await readKeyFile(name), ...witnesses(options, root) })
  if (identity || issuer) {
    if (!identity || !issuer || root === undefined)
      throw new OvmError(
        "OVM_USAGE",
        "--certificate-identity, --certificate-oidc-issuer and --trusted-root go together: " +
          "anybody can have a certificate",
      )
    const log = options.insecureIgnoreLog ? "optional" : "required"
    const timestamp = options.insecureIgnoreTimestamp ? "optional" : "either"
    found.push({
      kind: "keyless",
      name: trustedRoot ?? "",
      trustedRoot: root,
      identity,
      issuer,
      log,
      timestamp,
    })
  }
  return found
}

/** Who gives a trusted root beside a key wants its log and its timestamps. */
function witnesses(
  { insecureIgnoreLog, insecureIgnoreTimestamp }: AuthorityOptions,
  trustedRoot: string | undefined,
) {
  if (trustedRoot === undefined) return {}
  const log = insecureIgnoreLog ? {} : ({ log: "required" } as const)
  const timestamp = insecureIgnoreTimestamp ? {} : ({ timestamp: "either" } as const)
  return { trustedRoot, ...log, ...timestamp }
}

function either(is: string | undefined, matches: string | undefined, option: string) {
  if (is !== undefined && matches !== undefined)
    throw new OvmError("OVM_USAGE", `${option} and ${option}-regexp exclude each other`)
  if (is !== undefined) return { is }
  return matches === undefined ? undefined : { matches }
}

async function readText(path: string): Promise<string> {
  return new TextDecoder().decode(await readArgument(path, TRUSTED_ROOT_LIMIT))
}
