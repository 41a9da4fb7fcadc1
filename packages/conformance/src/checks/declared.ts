import { rm } from "node:fs/promises"
import { join } from "node:path"
import { writeLayout } from "../artifact/layout.ts"
import { artifactOf, store } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, must, skip } from "../check.ts"
import { digestOf } from "../registry/content.ts"
import type { Peak } from "../subject/memory.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { type Plan, type Scene, withRegistry } from "./with-registry.ts"

// What is said of sizes, and the memory that it costs: twice the same, but for the size.

const MIB = 1 << 20
const GIB = 1 << 30
/** How much more the larger one may take (limits.md). */
const BOUND = 512 * MIB
/** For how long a blob does not come: what is taken for it is there by then. */
const STALL_MS = 500

function compared(small: Peak, large: Peak, what: string): void {
  if (small.resident === 0) skip("this host has no /proc that says what memory a process takes")
  const more = (kind: keyof Peak) => (large[kind] - small[kind]) / MIB
  must(more("resident") <= BOUND / MIB, `${what} it takes ${Math.round(more("resident"))} MiB more memory`)
  must(more("reserved") <= BOUND / MIB, `${what} it reserves ${Math.round(more("reserved"))} MiB more`)
}

/** Pulls a machine whose disk is declared to have so many bytes, of which none come. */
async function pulled(scene: Scene, size: number): Promise<Peak> {
  const { registry, wrapper, folder } = scene
  const disk = Buffer.alloc(1024, 7)
  const made = artifactOf({ document: { diskLayers: [{ ref: digestOf(disk), format: "raw", size }] } })
  const oci = JSON.parse(made.oci.toString())
  for (const layer of oci.layers) if (layer.digest === digestOf(disk)) layer.size = size
  const bytes = Buffer.from(JSON.stringify(oci))
  store(registry.repository, { ...made, oci: bytes, digest: digestOf(bytes) }, `of-${size}`)
  let asked = 0
  registry.manners.fault = (request, response, path) => {
    if (request.method !== "GET" || !path.endsWith(digestOf(disk))) return false
    // Who asks again is not kept waiting.
    const status = asked++ === 0 ? 200 : 404
    response.writeHead(status, { "content-length": status === 200 ? size : 0 })
    if (status !== 200) {
      response.end()
      return true
    }
    response.write(disk)
    setTimeout(() => response.destroy(), STALL_MS)
    return true
  }
  const layout = join(folder, `of-${size}`)
  const { code, peak } = await wrapper.call("pull", [registry.reference(`of-${size}`), layout], {
    ...scene,
    measured: true,
  })
  must(code !== undefined, "it pulled a disk of which nothing came")
  return peak
}

const declared: Plan = {
  name: "pull/declares-what-does-not-come",
  covers: ["OVMS-LIM-004"],
  async run(scene) {
    const small = await pulled(scene, MIB)
    compared(small, await pulled(scene, GIB), "for a blob of 1 GiB, of which nothing has come,")
  },
}

const inflated: Check<Wrapper> = {
  name: "inspect/ram-of-any-size",
  profile: "snapshot",
  covers: ["OVMS-SNP-045"],
  async run(wrapper, call) {
    const inspected = async (memory: number) => {
      const layout = await writeLayout(
        join(call.folder, `of-${memory}`),
        snapshotOf(artifactOf(), { memory }),
      )
      const { code, stderr, peak } = await wrapper.call("inspect", [layout], { ...call, measured: true })
      must(code === undefined, `the inspect ended with ${code}: ${stderr.trim().slice(0, 300)}`)
      await rm(layout, { recursive: true })
      return peak
    }
    compared(await inspected(64 * MIB), await inspected(GIB + 64 * MIB), "for 1 GiB more of RAM")
  },
}

export const declaredChecks: readonly Check<Wrapper>[] = [withRegistry(declared), inflated]
