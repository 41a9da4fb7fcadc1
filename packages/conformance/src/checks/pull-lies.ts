import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { isOfNothing } from "../artifact/layout.ts"
import { type Artifact, artifactOf, kernelOf, OCI_MANIFEST, store } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must } from "../check.ts"
import { digestOf } from "../registry/content.ts"
import { json } from "../registry/serve.ts"
import { newKeys } from "../signing/evidence.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { holds } from "./pull.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

// What a registry has, and what it says of that, are two things.

let layouts = 0

/** Pulls into a new layout, and fails unless that is refused and nothing wrong is left. */
async function refuses({ wrapper, registry, ...call }: Scene, what: string, name = "1"): Promise<string> {
  const layout = join(call.folder, `refused${layouts++}`)
  const { code } = await wrapper.call("pull", [registry.reference(name), layout], call)
  must(code !== undefined, `it pulled ${what}`)
  await isOfNothing(layout, `the layout names ${what}`)
  return code
}

/** Has this answered in place of the blob. */
function blobIs({ registry }: Scene, bytes: Buffer, other: Buffer): void {
  registry.manners.fault = (request, response, path) => {
    if (request.method !== "GET" || !path.endsWith(digestOf(bytes))) return false
    response.end(other)
    return true
  }
}

const renamed = ({ manifest }: Artifact) => Buffer.from(manifest.toString().replace('"suite"', '"other"'))

const PLANS: readonly Plan[] = [
  {
    name: "pull/size-that-differs",
    covers: ["OVMS-SEC-001"],
    async run(scene) {
      for (const size of [4095, 4097]) {
        store(scene.registry.repository, artifactOf({ layer: { size } }), "1")
        await refuses(scene, `a blob of 4096 bytes, of which its descriptor says ${size}`)
      }
    },
  },
  {
    name: "pull/other-manifest-by-digest",
    covers: ["OVMS-SEC-001", "OVMS-REF-006"],
    async run(scene) {
      const { repository, manners } = scene.registry
      const wanted = store(repository, artifactOf())
      const other = store(repository, artifactOf({ kernel: kernelOf(9) }))
      // Right in itself, and another one than was asked for.
      manners.fault = (request, response, path) => {
        if (!path.includes("/manifests/")) return false
        const length = { "content-length": other.oci.length }
        const headers = { ...length, "content-type": OCI_MANIFEST, "docker-content-digest": other.digest }
        response.writeHead(200, headers).end(request.method === "GET" ? other.oci : undefined)
        return true
      }
      await refuses(scene, "another manifest than that of the digest", wanted.digest)
    },
  },
  {
    name: "pull/wrong-ovms-manifest",
    covers: ["OVMS-SEC-001"],
    async run(scene) {
      const made = store(scene.registry.repository, artifactOf(), "1")
      blobIs(scene, made.manifest, renamed(made))
      await refuses(scene, "another OVMS manifest than that of the digest")
    },
  },
  {
    name: "pull/wrong-base",
    profile: "snapshot",
    covers: ["OVMS-SEC-001", "OVMS-SNP-153"],
    async run(scene) {
      const base = artifactOf()
      store(scene.registry.repository, snapshotOf(base), "1")
      blobIs(scene, base.kernel, kernelOf(1))
      await refuses(scene, "a snapshot whose base has another kernel than that of the digest")
    },
  },
  {
    name: "pull/embedded-ovms-manifest",
    covers: ["OVMS-OCI-061"],
    async run(scene) {
      const made = artifactOf()
      const { config } = JSON.parse(made.oci.toString())
      const data = renamed(made).toString("base64")
      store(scene.registry.repository, artifactOf({ oci: { config: { ...config, data } } }), "1")
      scene.registry.repository.blobs.delete(digestOf(made.manifest))
      await refuses(scene, "an OVMS manifest that is in its descriptor, and another than that of the digest")
    },
  },
  {
    name: "pull/part-that-nobody-asked-for",
    covers: ["OVMS-DST-011"],
    async run(scene) {
      const made = store(scene.registry.repository, artifactOf(), "1")
      scene.registry.manners.fault = (request, response, path) => {
        if (request.method !== "GET" || !path.endsWith(digestOf(made.kernel))) return false
        const headers = { "content-range": "bytes 0-2047/4096", "content-length": 2048 }
        response.writeHead(206, headers).end(made.kernel.subarray(0, 2048))
        return true
      }
      await refuses(scene, "the first half of a blob")
    },
  },
  {
    name: "pull/part-of-something-else",
    covers: ["OVMS-DST-011"],
    async run(scene) {
      const { registry, wrapper, folder } = scene
      const made = store(registry.repository, artifactOf({ kernel: kernelOf(3, 1 << 20) }), "1")
      const other = kernelOf(4, 1 << 20)
      // What is asked for breaks off in the middle; whoever goes on from there gets bytes of another blob.
      registry.manners.fault = ({ method, headers }, response, path) => {
        if (method !== "GET" || !path.endsWith(digestOf(made.kernel))) return false
        const from = Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0)
        const range = { "content-range": `bytes ${from}-${other.length - 1}/${other.length}` }
        const part = from === 0 ? made.kernel : other.subarray(from)
        response.writeHead(from === 0 ? 200 : 206, {
          ...(from > 0 && range),
          "content-length": part.length,
        })
        if (from > 0) response.end(part)
        else response.write(part.subarray(0, part.length / 2), () => response.destroy())
        return true
      }
      const layout = join(folder, "layout")
      const { code } = await wrapper.call("pull", [registry.reference("1"), layout], scene)
      if (code === undefined) await holds(layout, made)
      else await isOfNothing(layout, "the layout names what was refused")
    },
  },
  {
    name: "pull/redirects-without-end",
    covers: ["OVMS-DST-014"],
    async run(scene) {
      store(scene.registry.repository, artifactOf(), "1")
      let hops = 0
      scene.registry.manners.fault = (_, response, path) => {
        if (!path.includes("/blobs/sha256:")) return false
        response.writeHead(307, { location: `${path}?hop=${hops++}`, "content-length": 0 }).end()
        return true
      }
      await refuses(scene, "a blob that it was never given")
    },
  },
  {
    name: "verify/list-without-end",
    profile: "signing",
    covers: ["OVMS-DST-014"],
    async run({ wrapper, registry, ...call }) {
      store(registry.repository, artifactOf(), "1")
      let page = 0
      registry.manners.fault = (_, response, path) => {
        if (!path.includes("/referrers/")) return false
        json(
          response,
          200,
          { schemaVersion: 2, manifests: [] },
          { link: `<${path}?page=${page++ % 3}>; rel="next"` },
        )
        return true
      }
      const key = join(call.folder, "public.key")
      await writeFile(key, newKeys().publicPem)
      const { code } = await wrapper.call("verify", [key, registry.reference("1")], call)
      must(code !== undefined, "it verified by a list that has no end")
    },
  },
]

export const pullLieChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
