import type { Command } from "commander"

/** The options of those commands that sign. */
export function signerOptions(command: Command): void {
  command
    .option(
      "--key <file>",
      "private key: a file of Cosign's or PKCS#8, or plugin:NAME/KEY for ovm-signer-NAME",
    )
    .option("--identity-token <file>", "keyless: file with an OpenID Connect token")
    .option("--fulcio-url <url>", "keyless: certificate authority")
    .option("--rekor-url <url>", "keyless: transparency log, which makes the signature public")
    .option("--timestamp-url <url>", "keyless: RFC 3161 timestamp authority")
}
