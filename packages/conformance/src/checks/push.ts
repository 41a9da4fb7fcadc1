import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { writeLayout } from "../artifact/layout.ts"
import { type Artifact, artifactOf, kernelOf, store } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must } from "../check.ts"
import { digestOf, parsed } from "../registry/content.ts"
import { fallbackTag, writeFallback } from "../signing/fallback.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

/** Pushes the artifact of a new layout as `1`, and fails unless the registry has all of it. */
async function pushes(scene: Scene, artifact = artifactOf()): Promise<void> {
  const { wrapper, registry, folder } = scene
  const layout = await writeLayout(join(folder, "source"), artifact)
  const { code, stderr } = await wrapper.call("push", [layout, registry.reference("1")], scene)
  must(code === undefined, `the push ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  const { repository } = registry
  must(
    repository.tags.get("1") === artifact.digest,
    `the tag leads to ${repository.tags.get("1") ?? "nothing"}`,
  )
  must(repository.manifests.get(artifact.digest)?.bytes.equals(artifact.oci), "the manifest is another one")
  for (const bytes of artifact.blobs) must(repository.blobs.has(digestOf(bytes)), "a blob is missing")
}

const PLANS: readonly Plan[] = [
  { name: "push/whole", covers: ["OVMS-DST-001", "OVMS-DST-002"], run: (scene) => pushes(scene) },
  {
    name: "push/order",
    covers: ["OVMS-DST-001", "OVMS-DST-002"],
    async run(scene) {
      const { registry } = scene
      await pushes(scene)
      const writes = registry.asked(/PUT|POST|PATCH/, "/v2/")
      const tagged = writes.findIndex(({ method, path }) => method === "PUT" && path.endsWith("/manifests/1"))
      must(tagged === writes.length - 1, "something was sent after the tag was given")
    },
  },
  {
    name: "push/base-before-snapshot",
    profile: "snapshot",
    covers: ["OVMS-SNP-005", "OVMS-SNP-153"],
    async run(scene) {
      const snapshot = snapshotOf(artifactOf())
      await pushes(scene, snapshot)
      const { registry } = scene
      const { base } = snapshot
      must(base && registry.repository.manifests.has(base.digest), "the base is not in the registry")
      const put = registry.asked(/PUT/, "/manifests/").map(({ path }) => path)
      must(put[0]?.endsWith(base.digest), `the first manifest is not the base: ${put.join(", ")}`)
      must(
        put.at(-1)?.endsWith("/1") && put.length > 1,
        `the snapshot is not the last manifest: ${put.join(", ")}`,
      )
    },
  },
  {
    name: "push/no-referrers-api",
    profile: "snapshot",
    covers: ["OVMS-DST-003"],
    async run(scene) {
      const { repository, manners } = scene.registry
      manners.referrers = false
      manners.subjectHeader = false
      const base = artifactOf()
      const [other, snapshot] = ["other", "suite"].map((name) =>
        snapshotOf(base, {
          vmm: { name },
          oci: { annotations: { "ovms.snapshot.vmm": name } },
        }),
      ) as [Artifact, Artifact]
      store(repository, other)
      writeFallback(repository, base.digest)
      await pushes(scene, snapshot)
      const list = repository.manifests.get(repository.tags.get(fallbackTag(base.digest)) ?? "")
      const { manifests = [] } = parsed(list?.bytes ?? Buffer.alloc(0))
      must(
        manifests.some(({ digest }) => digest === other.digest),
        "what was in the list under the fallback tag is gone",
      )
      const wanted = repository.referrers(base.digest).find(({ digest }) => digest === snapshot.digest)
      const entry = manifests.find(({ digest }) => digest === snapshot.digest)
      must(
        entry && wanted && isDeepStrictEqual({ ...entry, ...wanted }, { ...entry }),
        `the fallback tag lists ${JSON.stringify(entry) ?? "no snapshot"}, and not ${JSON.stringify(wanted)}`,
      )
    },
  },
  {
    name: "push/blob-fails",
    covers: ["OVMS-DST-001", "OVMS-DST-002"],
    async run(scene) {
      const { wrapper, registry, folder } = scene
      const artifact = artifactOf({ kernel: kernelOf(4) })
      const layout = await writeLayout(join(folder, "source"), artifact)
      const old = store(registry.repository, artifactOf(), "1")
      // The upload of every blob that is new ends with the registry's own trouble.
      registry.manners.fault = (request, response, path) => {
        if (request.method === "GET" || request.method === "HEAD" || !path.includes("/blobs/")) return false
        request.resume()
        response.writeHead(507, { "content-length": 0 }).end()
        return true
      }
      const { code } = await wrapper.call("push", [layout, registry.reference("1")], scene)
      must(code, "it says that it pushed what the registry did not take")
      must(registry.repository.tags.get("1") === old.digest, "the tag was moved to what is not whole")
    },
  },
  {
    name: "push/layout-damaged",
    covers: ["OVMS-SEC-001"],
    async run(scene) {
      const { wrapper, registry, folder } = scene
      const artifact = artifactOf()
      const wrong = artifact.blobs.map((bytes) => (bytes === artifact.kernel ? kernelOf(1) : bytes))
      const layout = await writeLayout(join(folder, "source"), { ...artifact, blobs: wrong })
      const { code } = await wrapper.call("push", [layout, registry.reference("1")], scene)
      must(code, "it pushed an artifact whose kernel is another one")
      must(!registry.repository.tags.has("1"), "the tag leads to what is not whole")
    },
  },
]

export const pushChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
