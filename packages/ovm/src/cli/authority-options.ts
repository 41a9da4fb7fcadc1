import type { Command } from "commander"

/**
 * The options of those commands that ask who signed. Returns the list of keys, which commander would keep the last of
 * only.
 */
export function authorityOptions(command: Command): readonly string[] {
  const keys: string[] = []
  command
    .option("--key <file>", "public key; again for others, any one of which will do", (file) =>
      keys.push(file),
    )
    .option(
      "--trusted-root <file>",
      "Sigstore trusted root: who vouches for certificates, logs and timestamps",
    )
    .option("--certificate-identity <text>", "who signed: an e-mail address or URI")
    .option(
      "--certificate-identity-regexp <regexp>",
      "the same as a regular expression that matches the whole",
    )
    .option("--certificate-oidc-issuer <url>", "who vouched for that")
    .option(
      "--certificate-oidc-issuer-regexp <regexp>",
      "the same as a regular expression that matches the whole",
    )
    .option("--insecure-ignore-log", "do without an entry in a transparency log")
    .option("--insecure-ignore-timestamp", "do without a timestamp: the certificate has to be valid now")
  return keys
}
