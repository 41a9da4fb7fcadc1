import { bytesOf, type Vector, type VectorDocument } from "../../vectors.ts"
import { type Plan, refusedCreate } from "./plan.ts"

interface Layers {
  readonly layers: readonly { readonly format: string; readonly file: VectorDocument }[]
}

/** Disks that have to be refused before a VMM opens them, each as the only one of the suite's guest. */
export function diskVectorPlans(vectors: readonly Vector[]): Plan[] {
  return (
    vectors
      .filter(({ kind, code }) => kind === "disk" && code !== undefined)
      .map(({ path, input, requirement = "", code = "" }) => ({
        path,
        requirement,
        code,
        ...(input as Layers),
      }))
      // A layer of no bytes is one that the manifest must not have.
      .filter(({ layers: [layer, ...more] }) => layer && bytesOf(layer.file).length > 0 && more.length === 0)
      .map(({ path, requirement, code, layers: [layer] }) => ({
        name: `vector/${path}`,
        covers: [requirement, "OVMS-DSK-008"],
        async run({ runtime, machine }) {
          const { format = "", file = { text: "" } } = layer ?? {}
          const manifest = await machine({ diskless: false, disk: bytesOf(file), format })
          await refusedCreate(runtime, code, { manifest })
        },
      }))
  )
}
