import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { artifactOf, store } from "../artifact/make.ts"
import { type Check, must } from "../check.ts"
import { Registry } from "../registry/server.ts"
import { AT_THIS_HOST, AUTHORITY, certify, pem } from "../signing/certificate.ts"
import type { Wrapper } from "../subject/wrapper.ts"

const LONG = { from: new Date("2020-01-01T00:00:00Z"), to: new Date("2049-01-01T00:00:00Z") }
const CA = certify({ name: "suite's registries", ...LONG, extensions: AUTHORITY })
const SERVER = certify({ name: "suite's registry", issuer: CA, ...LONG, extensions: AT_THIS_HOST })

/** A registry that speaks TLS, and one that does not, to which the first one leads whoever asks for this. */
async function leading(path: RegExp, use: (tls: Registry, plain: Registry) => Promise<void>): Promise<void> {
  const key = SERVER.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  await using tls = await Registry.start({ key, cert: pem(SERVER.certificate) })
  await using plain = await Registry.start()
  tls.manners.fault = (request, response, at) => {
    if (!path.test(`${request.method} ${at}`)) return false
    request.resume()
    const location = `http://${plain.host}${at}`
    const status = request.method === "POST" ? 202 : 307
    response.writeHead(status, { location, range: "0-0", "content-length": 0 }).end()
    return true
  }
  await use(tls, plain)
}

export const tlsChecks: readonly Check<Wrapper>[] = [
  {
    name: "pull/led-away-from-tls",
    profile: "core",
    covers: ["OVMS-OCI-091", "OVMS-CNF-047"],
    async run(wrapper, call) {
      const ca = join(call.folder, "ca.pem")
      await writeFile(ca, pem(CA.certificate))
      const believing = { ...call, env: { OVMS_CONFORMANCE_CA: ca } }
      const reference = (registry: Registry) => registry.reference("1").replace(/^127\.0\.0\.1/, "0.0.0.0")
      const layout = await writeLayout(join(call.folder, "machine"), artifactOf())
      await leading(/^nothing$/, async (tls) => {
        const { code, stderr } = await wrapper.call("push", [layout, reference(tls)], believing)
        must(code === undefined, `a push by TLS ended with ${code}: ${stderr.trim().slice(0, 300)}`)
      })
      await leading(/^POST .*\/blobs\/uploads\/$/, async (tls, plain) => {
        await wrapper.call("push", [layout, reference(tls)], believing)
        must(plain.seen.length === 0, "it sent to where it was led to without TLS")
      })
      await leading(/^GET .*\/blobs\//, async (tls, plain) => {
        for (const { repository } of [tls, plain]) store(repository, artifactOf(), "1")
        await wrapper.call("pull", [reference(tls), join(call.folder, "pulled")], believing)
        must(plain.seen.length === 0, "it fetched from where it was led to without TLS")
      })
    },
  },
]
