import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { arm64Kernel, artifactOf, OCI_INDEX } from "../artifact/make.ts"
import { indexOf } from "../artifact/platforms.ts"
import { type Check, must, skip } from "../check.ts"
import { digestOf } from "../registry/content.ts"
import { Registry } from "../registry/server.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

const MACHINES = {
  amd64: artifactOf(),
  arm64: artifactOf({ kernel: arm64Kernel(), document: { architecture: "arm64" } }),
} as const

/** A layout with an index of both machines, and the content of both. */
async function indexed({ folder }: Scene): Promise<string> {
  const layout = await writeLayout(join(folder, "layout"), MACHINES.amd64)
  for (const bytes of [MACHINES.arm64.oci, ...MACHINES.arm64.blobs])
    await writeFile(pathOf(layout, bytes), bytes)
  const bytes = indexOf(Object.entries(MACHINES))
  await writeFile(pathOf(layout, bytes), bytes)
  const top = JSON.parse(await readFile(join(layout, "index.json"), "utf8"))
  const target = { mediaType: OCI_INDEX, digest: digestOf(bytes), size: bytes.length }
  await writeFile(join(layout, "index.json"), JSON.stringify({ ...top, manifests: [target] }))
  return layout
}

function pathOf(layout: string, bytes: Buffer): string {
  return join(layout, "blobs/sha256", digestOf(bytes).slice("sha256:".length))
}

const ofWhatIsNotWhole: Plan = {
  name: "push/index-of-which-one-is-missing",
  covers: ["OVMS-IDX-023"],
  async run(scene) {
    const { wrapper, registry } = scene
    const layout = await indexed(scene)
    const whole = await wrapper.call("push", [layout, registry.reference("whole")], scene)
    if (whole.code === "OVM_ARTIFACT_INVALID") skip("the wrapper does not push indexes")
    must(
      whole.code === undefined,
      `the push of a whole index ended with ${whole.code}: ${whole.stderr.trim()}`,
    )
    for (const { digest } of Object.values(MACHINES))
      must(registry.repository.manifests.has(digest), "a machine of the index is not in the registry")
    // What a host has that keeps the machines of its own platform alone.
    await using other = await Registry.start()
    for (const bytes of [MACHINES.arm64.oci, ...MACHINES.arm64.blobs])
      if (!MACHINES.amd64.blobs.some((shared) => shared.equals(bytes))) await rm(pathOf(layout, bytes))
    const { code } = await wrapper.call("push", [layout, other.reference("1")], scene)
    must(
      code === "OVM_CONTENT_MISSING",
      `the push of a part of an index ended ${code ? `with ${code}` : "well"}`,
    )
    must(other.repository.tags.size === 0, "a part of an index has a tag, as if it were whole")
  },
}

export const indexPushes: readonly Check<Wrapper>[] = [withRegistry(ofWhatIsNotWhole)]
