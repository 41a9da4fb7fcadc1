import type { ServerResponse } from "node:http"
import { join } from "node:path"
import { isOfNothing } from "../artifact/layout.ts"
import { artifactOf, kernelOf, OCI_INDEX, OCI_MANIFEST, store } from "../artifact/make.ts"
import { indexOf } from "../artifact/platforms.ts"
import { type Check, must } from "../check.ts"
import { digestOf } from "../registry/content.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { pulled } from "./pull.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

/** Bytes that may be under way, in sockets and buffers, when a reader stops. */
const UNDER_WAY = 32 << 20

/** Pulls `1`, and fails unless it is refused with one of `codes`, and nothing is in the layout. */
async function refuses(scene: Scene, codes: readonly string[] | RegExp): Promise<void> {
  const { code } = await pulled(scene, "1")
  const wanted = codes instanceof RegExp ? codes.test(code ?? "") : codes.includes(code ?? "")
  const expected = codes instanceof RegExp ? "an error" : codes.join(" or ")
  must(wanted, `the pull ended ${code === undefined ? "well" : `with ${code}`}, and not with ${expected}`)
  await isOfNothing(join(scene.folder, "layout"), "the layout names what was refused")
}

const MISMATCH = ["OVM_DIGEST_MISMATCH", "OVM_SIZE_MISMATCH"]

/** Has the kernel's blob, or the manifest by digest, answered by `answer`. */
function instead(
  scene: Scene,
  what: "kernel" | "manifest",
  answer: (response: ServerResponse) => void,
): void {
  const artifact = store(scene.registry.repository, artifactOf({ kernel: kernelOf(5, 1 << 16) }), "1")
  const path = what === "kernel" ? `/blobs/${digestOf(artifact.kernel)}` : "/manifests/"
  scene.registry.manners.fault = (request, response, at) => {
    if (request.method !== "GET" || !at.includes(path)) return false
    answer(response)
    return true
  }
}

/** Sends zeros until the other side has enough. */
function endless(response: ServerResponse, scene: Scene): void {
  const zeros = Buffer.alloc(1 << 16)
  const more = () => {
    while (!response.destroyed) {
      scene.registry.sent += zeros.length
      if (!response.write(zeros)) return void response.once("drain", more)
    }
  }
  more()
}

async function stopsReading(scene: Scene, codes: readonly string[] | RegExp): Promise<void> {
  await refuses(scene, codes)
  must(scene.registry.sent < UNDER_WAY, `it took ${scene.registry.sent} bytes of a body without an end`)
}

const PLANS: readonly Plan[] = [
  {
    name: "pull/wrong-bytes",
    covers: ["OVMS-SEC-001", "OVMS-SEC-003"],
    run(scene) {
      instead(scene, "kernel", (response) => response.end(kernelOf(6, 1 << 16)))
      return refuses(scene, MISMATCH)
    },
  },
  {
    name: "pull/too-short",
    covers: ["OVMS-SEC-001"],
    run(scene) {
      instead(scene, "kernel", (response) => response.end(kernelOf(5, 1 << 15)))
      return refuses(scene, MISMATCH)
    },
  },
  {
    name: "pull/too-long",
    covers: ["OVMS-SEC-001"],
    run(scene) {
      instead(scene, "kernel", (response) =>
        response.end(Buffer.concat([kernelOf(5, 1 << 16), Buffer.alloc(9)])),
      )
      return refuses(scene, MISMATCH)
    },
  },
  {
    name: "pull/blob-without-end",
    covers: ["OVMS-SEC-002"],
    run(scene) {
      instead(scene, "kernel", (response) => endless(response.writeHead(200), scene))
      return stopsReading(scene, MISMATCH)
    },
  },
  {
    name: "pull/cut-off",
    covers: ["OVMS-SEC-001"],
    run(scene) {
      instead(scene, "kernel", (response) => {
        response.writeHead(200, { "content-length": 1 << 16 })
        response.write(kernelOf(5, 1 << 16).subarray(0, 1000), () => response.destroy())
      })
      return refuses(scene, /^OVM_/)
    },
  },
  {
    name: "pull/wrong-manifest",
    covers: ["OVMS-SEC-001", "OVMS-DST-010"],
    run(scene) {
      const wrong = artifactOf({ kernel: kernelOf(8) })
      const right = store(scene.registry.repository, artifactOf(), "1")
      scene.registry.manners.fault = (request, response, path) => {
        if (request.method !== "GET" || !path.includes("/manifests/")) return false
        const headers = { "content-type": OCI_MANIFEST, "docker-content-digest": right.digest }
        response.writeHead(200, headers).end(wrong.oci)
        return true
      }
      for (const bytes of wrong.blobs) scene.registry.repository.blob(bytes)
      return refuses(scene, MISMATCH)
    },
  },
  {
    name: "pull/manifest-without-end",
    covers: ["OVMS-LIM-001", "OVMS-SEC-047"],
    run(scene) {
      instead(scene, "manifest", (response) =>
        endless(response.writeHead(200, { "content-type": OCI_MANIFEST }), scene),
      )
      return stopsReading(scene, ["OVM_TOO_LARGE", ...MISMATCH])
    },
  },
  {
    name: "pull/html",
    covers: ["OVMS-OCI-002"],
    run(scene) {
      instead(scene, "manifest", (response) =>
        response.writeHead(200, { "content-type": "text/html" }).end("<html><h1>Sign in</h1></html>"),
      )
      return refuses(scene, /^OVM_/)
    },
  },
  {
    name: "pull/index",
    covers: ["OVMS-OCI-002"],
    run(scene) {
      const { repository } = scene.registry
      const { digest, oci } = store(repository, artifactOf())
      const type = "application/vnd.oci.image.index.v1+json"
      const manifests = [{ mediaType: OCI_MANIFEST, digest, size: oci.length }]
      repository.put(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests })), type, "1")
      // One that reads indexes finds no platform in it (OVMS-IDX-019).
      return refuses(scene, ["OVM_ARTIFACT_INVALID", "OVM_PLATFORM_MISSING"])
    },
  },
  {
    name: "pull/index-of-other-platforms",
    covers: ["OVMS-IDX-020"],
    run(scene) {
      const { repository } = scene.registry
      // Each entry has the machine of the other one, so that it is wrong on any host.
      const of = (architecture: string) => store(repository, artifactOf({ document: { architecture } }))
      const index = indexOf([
        ["amd64", of("arm64")],
        ["arm64", of("amd64")],
      ])
      repository.put(index, OCI_INDEX, "1")
      return refuses(scene, ["OVM_ARTIFACT_INVALID"])
    },
  },
  {
    name: "pull/other-type",
    covers: ["OVMS-OCI-012"],
    run(scene) {
      const oci = { artifactType: "application/vnd.example.thing.v1" }
      store(scene.registry.repository, artifactOf({ oci }), "1")
      return refuses(scene, ["OVM_ARTIFACT_INVALID"])
    },
  },
  {
    name: "pull/urls",
    covers: ["OVMS-OCI-060"],
    async run(scene) {
      const { registry } = scene
      const urls = [`http://${registry.host}/elsewhere/kernel`]
      const artifact = store(registry.repository, artifactOf({ layer: { urls } }), "1")
      registry.repository.blobs.delete(digestOf(artifact.kernel))
      registry.manners.fault = (_, response, path) => {
        if (path !== "/elsewhere/kernel") return false
        response.end(artifact.kernel)
        return true
      }
      await refuses(scene, /^OVM_/)
      must(registry.asked(/./, "/elsewhere").length === 0, "it fetched from the urls of a descriptor")
    },
  },
  {
    name: "pull/embedded-data",
    covers: ["OVMS-OCI-061"],
    async run(scene) {
      const data = kernelOf(6).toString("base64")
      const artifact = store(scene.registry.repository, artifactOf({ layer: { data } }), "1")
      scene.registry.repository.blobs.delete(digestOf(artifact.kernel))
      await refuses(scene, /^OVM_/)
    },
  },
  {
    name: "pull/without-tls",
    covers: ["OVMS-DST-020"],
    async run(scene) {
      store(scene.registry.repository, artifactOf(), "1")
      // On Linux this address leads to the same registry, but it is no loopback address.
      const reference = scene.registry.reference("1").replace(/^127\.0\.0\.1/, "0.0.0.0")
      const { code } = await scene.wrapper.call("pull", [reference, join(scene.folder, "layout")], scene)
      must(code, "it pulled from an address that is no loopback address, and without TLS")
      must(scene.registry.seen.length === 0, "it asked without TLS")
    },
  },
  {
    name: "pull/blob-gone",
    covers: ["OVMS-ERR-005"],
    async run(scene) {
      const artifact = store(scene.registry.repository, artifactOf(), "1")
      scene.registry.repository.blobs.delete(digestOf(artifact.kernel))
      await refuses(scene, ["OVM_CONTENT_MISSING"])
    },
  },
  {
    name: "pull/unknown-tag",
    covers: ["OVMS-ERR-005", "OVMS-ERR-004"],
    async run(scene) {
      const { code, stderr } = await pulled(scene, "absent")
      must(code === "OVM_NAME_UNKNOWN", `the pull of a tag that is not there ended with ${code ?? "success"}`)
      must(stderr.includes("absent"), "its error does not name the tag")
    },
  },
]

export const pullFaultChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
