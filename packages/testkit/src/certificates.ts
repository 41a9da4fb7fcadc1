import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Why tests that need certificates are skipped here; undefined if they are not. */
export const opensslMissing =
  spawnSync("openssl", ["version"]).status === 0 ? undefined : "openssl is not on PATH"

/** Paths of PEM files. */
export interface Certificates extends AsyncDisposable {
  readonly ca: string
  /** For localhost and 127.0.0.1. */
  readonly server: { readonly cert: string; readonly key: string }
  readonly client: { readonly cert: string; readonly key: string }
}

/** An authority of its own with a server's and a client's certificate, valid for a day. */
export async function makeCertificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-certificates-"))
  const at = (name: string) => join(folder, name)
  await writeFile(at("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  const authority = ["-subj", "/CN=Test CA", "-addext", "basicConstraints=critical,CA:TRUE", "-days", "1"]
  openssl("req", "-x509", ...ec, ...authority, "-keyout", at("ca.key"), "-out", at("ca.pem"))
  for (const name of ["server", "client"]) {
    openssl("req", ...ec, "-subj", `/CN=${name}`, "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`))
    const signed = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "1"]
    const files = ["-in", at(`${name}.csr`), "-out", at(`${name}.pem`), "-extfile", at("ext")]
    openssl("x509", "-req", ...signed, ...files)
  }
  return {
    ca: at("ca.pem"),
    server: { cert: at("server.pem"), key: at("server.key") },
    client: { cert: at("client.pem"), key: at("client.key") },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" })
  if (status !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`)
}
