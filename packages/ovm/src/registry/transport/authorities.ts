import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { readRegular } from "../../files/regular.ts"

/** Bytes of one file of certificates, and files of one folder: several times what distributions have. */
const LIMIT = 4 << 20
const FILES = 4096
const BLOCK =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g

/** The certificates of a file, each in PEM. Throws as readRegular. */
export async function certificatesIn(path: string): Promise<string[]> {
  return new TextDecoder().decode(await readRegular(path, LIMIT)).match(BLOCK) ?? []
}

let usual: Promise<readonly string[]> | undefined

/**
 * The authorities that are trusted where nothing is said: those that the runtime brings along, the system's, and those
 * of NODE_EXTRA_CA_CERTS, SSL_CERT_FILE and SSL_CERT_DIR. Needed only where one is added, since to name any is to name
 * all. What cannot be read of them is passed over, as it is without an addition.
 */
export function usualAuthorities(): Promise<readonly string[]> {
  usual ??= read()
  return usual
}

async function read(): Promise<readonly string[]> {
  const { getCACertificates } = process.getBuiltinModule("node:tls")
  const { SSL_CERT_FILE, SSL_CERT_DIR } = process.env
  const files = SSL_CERT_FILE ? [SSL_CERT_FILE] : []
  for (const folder of (SSL_CERT_DIR ?? "").split(":").filter(Boolean)) {
    const names = await readdir(folder).catch(() => [])
    files.push(...names.slice(0, FILES).map((name) => join(folder, name)))
  }
  const named = await Promise.all(files.map((path) => certificatesIn(path).catch(() => [])))
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system"), ...named.flat()])]
}
