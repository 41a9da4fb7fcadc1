import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { arm64Kernel, artifactOf, OCI_INDEX, OCI_MANIFEST, store } from "../artifact/make.ts"
import { indexOf, type Machines, writeIndex } from "../artifact/platforms.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must } from "../check.ts"
import { digestOf, parsed, type Repository, utf8 } from "../registry/content.ts"
import { Registry } from "../registry/server.ts"
import { attach, newKeys } from "../signing/evidence.ts"
import type { Answer, Verb, Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

// What an implementation keeps by a name, makes one name of, or copies together.

const AMD64 = artifactOf()
const ARM64 = artifactOf({ kernel: arm64Kernel(), document: { architecture: "arm64" } })
const MACHINES: Machines = [
  ["amd64", AMD64],
  ["arm64", ARM64],
]
const INDEX = indexOf(MACHINES)

function storeIndex(repository: Repository, tag: string): void {
  for (const machine of [AMD64, ARM64]) store(repository, machine)
  repository.put(INDEX, OCI_INDEX, tag)
}

async function done({ wrapper, ...call }: Scene, verb: Verb, ...words: readonly string[]): Promise<Answer> {
  const answer = await wrapper.call(verb, words, call)
  must(answer.code === undefined, `${verb} ended with ${answer.code}: ${answer.stderr.trim().slice(0, 300)}`)
  return answer
}

const PLANS: readonly Plan[] = [
  {
    name: "index/machines-alone",
    covers: ["OVMS-IDX-021", "OVMS-IDX-022"],
    async run(scene) {
      const { folder } = scene
      const at = (name: string) => join(folder, name)
      const amd64 = await writeLayout(at("amd64"), AMD64)
      const arm64 = await writeLayout(at("arm64"), ARM64)
      await done(scene, "index", at("made"), arm64, amd64)
      const top = JSON.parse(await readFile(join(at("made"), "index.json"), "utf8"))
      const bytes = await readFile(join(at("made"), "blobs/sha256", top.manifests[0].digest.slice(7)))
      const { manifests = [] } = parsed(bytes)
      const wanted = [AMD64.digest, ARM64.digest]
      const entries = manifests.map(({ digest }) => digest)
      must(entries.join() === wanted.join(), `the index has ${entries}, and not ${wanted}`)
      const others = {
        snapshot: await writeLayout(at("snapshot"), snapshotOf(AMD64)),
        index: await writeIndex(at("index"), MACHINES),
        unreadable: await writeLayout(at("unreadable"), artifactOf({ document: { schemaVersion: 2 } })),
        other: await writeLayout(
          at("other"),
          artifactOf({ org: "suite.example", oci: { artifactType: "application/vnd.example.chart" } }),
        ),
      }
      for (const [name, layout] of Object.entries(others)) {
        const { code } = await scene.wrapper.call("index", [at(`of-${name}`), amd64, layout], scene)
        must(code !== undefined, `it put what is no machine it could read (${name}) into an index`)
        must(!(await stat(at(`of-${name}`)).catch(() => undefined)), `it refused ${name}, and made a layout`)
      }
    },
  },
  {
    name: "index/kept-by-its-name",
    covers: ["OVMS-IDX-024"],
    async run(scene) {
      const { folder, registry } = scene
      storeIndex(registry.repository, "1")
      const layout = join(folder, "kept")
      await done(scene, "prune", registry.reference("1"), layout)
      for (const { oci, blobs } of [AMD64, ARM64])
        for (const bytes of [oci, ...blobs]) {
          const path = join(layout, "blobs/sha256", digestOf(bytes).slice(7))
          must((await readFile(path).catch(() => utf8(""))).equals(bytes), `${digestOf(bytes)} is gone`)
        }
    },
  },
  {
    name: "index/copied-with-what-refers-to-it",
    covers: ["OVMS-IDX-027"],
    async run(scene) {
      const { registry } = scene
      storeIndex(registry.repository, "1")
      const signed = [ARM64, { digest: digestOf(INDEX), oci: INDEX }].map(({ digest, oci }) =>
        attach(registry.repository, { digest, size: oci.length }, newKeys()),
      )
      await using elsewhere = await Registry.start()
      await done(scene, "copy", registry.reference("1"), elsewhere.reference("1"))
      for (const [at, digest] of signed.entries())
        must(
          elsewhere.repository.manifests.get(digest)?.mediaType === OCI_MANIFEST,
          `what refers to ${at === 0 ? "a machine of the index" : "the index"} was not copied`,
        )
    },
  },
  {
    name: "remove/base-of-snapshots",
    profile: "snapshot",
    covers: ["OVMS-SNP-154"],
    async run(scene) {
      const { registry, wrapper } = scene
      store(registry.repository, AMD64, "base")
      store(registry.repository, snapshotOf(AMD64), "taken")
      const words = [registry.reference("base"), registry.reference("taken")]
      const { code, stderr } = await wrapper.call("remove", words, scene)
      must(code === "OVM_IMAGE_IN_USE", `the removal of the base ended ${code ? `with ${code}` : "well"}`)
      must(stderr.includes(registry.reference("taken")), "the refusal does not name the snapshot")
      const all = await done(scene, "remove", ...words, "all")
      for (const name of words)
        must(all.stdout.includes(name), `it removed ${name}, and does not say so: ${all.stdout}`)
    },
  },
]

export const keptChecks: readonly Check<Wrapper>[] = PLANS.map(withRegistry)
