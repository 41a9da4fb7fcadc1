import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { readLayout } from "../artifact/layout.ts"
import { type Artifact, arm64Kernel, artifactOf, kernelOf, OCI_INDEX, store } from "../artifact/make.ts"
import { entriesOf, indexOf, indexWith, type Machines } from "../artifact/platforms.ts"
import { SNAPSHOT, snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must, skip } from "../check.ts"
import { digestOf } from "../registry/content.ts"
import type { Answer, Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

/** Pulls `name` into a new layout. */
export function pulled({ wrapper, registry, ...call }: Scene, name: string): Promise<Answer> {
  return wrapper.call("pull", [registry.reference(name), join(call.folder, "layout")], call)
}

/** Pulls `name`, and fails unless all of `artifact` is in the layout then. */
async function brings(scene: Scene, name: string, artifact: Artifact): Promise<void> {
  const { code, stderr } = await pulled(scene, name)
  must(code === undefined, `the pull ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  const { digest } = await readLayout(join(scene.folder, "layout"))
  must(digest === artifact.digest, `the layout has ${digest}, and not ${artifact.digest}`)
}

/** Fails unless the layout has all of it, and of its base. */
export async function holds(layout: string, { oci, blobs, base }: Artifact): Promise<void> {
  for (const bytes of [oci, ...blobs]) {
    const found = await readFile(join(layout, "blobs/sha256", digestOf(bytes).slice(7))).catch(
      () => undefined,
    )
    must(found?.equals(bytes), `${digestOf(bytes)} is not in the layout`)
  }
  if (base) await holds(layout, base)
}

const PLANS: readonly Plan[] = [
  {
    name: "pull/by-tag",
    covers: ["OVMS-OCI-001", "OVMS-OCI-010", "OVMS-REF-005"],
    run: (scene) => brings(scene, "1", store(scene.registry.repository, artifactOf(), "1")),
  },
  {
    name: "pull/plain-form",
    covers: ["OVMS-OCI-020", "OVMS-OCI-010"],
    run: (scene) => brings(scene, "1", store(scene.registry.repository, artifactOf({ plain: true }), "1")),
  },
  {
    name: "pull/alias-types",
    covers: ["OVMS-OCI-014"],
    run: (scene) => brings(scene, "1", store(scene.registry.repository, artifactOf({ org: "acme" }), "1")),
  },
  {
    name: "pull/unknown-members",
    covers: ["OVMS-OCI-007"],
    run: (scene) =>
      brings(scene, "1", store(scene.registry.repository, artifactOf({ oci: { later: { a: [1] } } }), "1")),
  },
  {
    name: "pull/by-digest",
    covers: ["OVMS-REF-006"],
    run: (scene) => {
      const wanted = store(scene.registry.repository, artifactOf())
      store(scene.registry.repository, artifactOf({ kernel: kernelOf(9) }), "latest")
      return brings(scene, wanted.digest, wanted)
    },
  },
  {
    name: "pull/digest-decides",
    covers: ["OVMS-REF-006"],
    run: (scene) => {
      const wanted = store(scene.registry.repository, artifactOf())
      store(scene.registry.repository, artifactOf({ kernel: kernelOf(9) }), "1")
      return brings(scene, `1@${wanted.digest}`, wanted)
    },
  },
  {
    name: "pull/tag-moves",
    covers: ["OVMS-DST-010", "OVMS-REF-008"],
    async run(scene) {
      const { repository, manners } = scene.registry
      const first = store(repository, artifactOf(), "1")
      const second = store(repository, artifactOf({ kernel: kernelOf(9) }))
      // Whoever asks for the tag a second time gets something else.
      let asked = 0
      manners.fault = (_, __, path) => {
        if (path.endsWith("/manifests/1") && asked++ > 0) repository.tags.set("1", second.digest)
        return false
      }
      await brings(scene, "1", first)
    },
  },
  {
    name: "pull/redirect",
    covers: [],
    async run(scene) {
      const artifact = store(scene.registry.repository, artifactOf(), "1")
      scene.registry.manners.fault = (request, response, path) => {
        if (!path.includes("/blobs/sha256:") || request.url?.includes("again")) return false
        response.writeHead(307, { location: `${path}?again=1`, "content-length": 0 }).end()
        return true
      }
      await brings(scene, "1", artifact)
    },
  },
  {
    name: "pull/snapshot-with-base",
    profile: "snapshot",
    covers: ["OVMS-SNP-153"],
    async run(scene) {
      const snapshot = store(scene.registry.repository, snapshotOf(artifactOf()), "1")
      const { code, stderr } = await pulled(scene, "1")
      must(code === undefined, `the pull ended with ${code}: ${stderr.trim().slice(0, 300)}`)
      await holds(join(scene.folder, "layout"), snapshot)
    },
  },
  {
    name: "pull/first-of-its-platform",
    covers: ["OVMS-IDX-017", "OVMS-IDX-018"],
    async run(scene) {
      const { registry } = scene
      const { repository } = registry
      const architecture = process.arch === "arm64" ? "arm64" : "amd64"
      const machine = (fill: number) => {
        const kernel = architecture === "arm64" ? arm64Kernel() : kernelOf(fill)
        return store(repository, artifactOf({ kernel, document: { architecture, version: `${fill}` } }))
      }
      const plain: Machines = [[architecture, machine(1)]]
      repository.put(indexOf(plain), OCI_INDEX, "plain")
      if ((await pulled(scene, "plain")).code === "OVM_ARTIFACT_INVALID") skip("the wrapper pulls no indexes")
      const [first, second] = [machine(2), machine(3)]
      const made = [first, second, store(repository, snapshotOf(artifactOf()))]
      const [one, two, taken] = entriesOf(made.map((artifact) => [architecture, artifact]))
      const { artifactType: _, ...untyped } = one ?? {}
      const others = [
        { ...taken, artifactType: SNAPSHOT },
        { ...two, platform: { os: "unknown", architecture: "unknown" } },
        { ...two, platform: { os: "linux", architecture, variant: "v3" } },
      ]
      repository.put(indexWith([...others, untyped, { ...two }]), OCI_INDEX, "1")
      const layout = join(scene.folder, "first")
      const { code, stderr } = await scene.wrapper.call("pull", [registry.reference("1"), layout], scene)
      // One that copies no part of an index has the machine all the same (OVMS-IDX-023).
      must(
        code === undefined || code === "OVM_CONTENT_MISSING",
        `the pull ended with ${code}: ${stderr.trim().slice(0, 300)}`,
      )
      must(
        registry.asked(/^GET$/, first.digest).length > 0,
        "it has not read the first entry that is this host's machine",
      )
      if (code === undefined) await holds(layout, first)
    },
  },
  {
    name: "pull/no-ranges",
    covers: ["OVMS-DST-011"],
    async run(scene) {
      const artifact = store(scene.registry.repository, artifactOf({ kernel: kernelOf(3, 1 << 20) }), "1")
      scene.registry.manners.fault = (request) => {
        delete request.headers.range
        return false
      }
      await brings(scene, "1", artifact)
    },
  },
]

export const pullChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
