import { join } from "node:path"
import { bzImage } from "../../artifact/bzimage.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf, withLayers } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { lacks } from "../../subject/vmms.ts"
import { hasArguments } from "./arguments.ts"
import type { Plan, Scene } from "./plan.ts"

const ARGS = "console=ttyS0 suite=one  two"
const INITRD_BYTES = 12_345

/** A kernel that says what it was given: its arguments, and the size of its initial RAM disk. */
async function given(scene: Scene, id: string): Promise<{ readonly args: string; readonly initrd: number }> {
  const { runtime } = scene
  if (await lacks(runtime, "bootProtocol")) {
    // What is inside is entered in its place, as an ELF file (OVMS-GST-011).
    const text = await runtime.says(id, /DISK [^\n]*\n/)
    await hasArguments(scene, text, ARGS)
    return { args: ARGS, initrd: Number(/INITRD \S+ size=(\d+)/.exec(text)?.[1]) }
  }
  const text = await runtime.says(id, /BZIMAGE \[[^\n]*\n/)
  const [, args = "", size = ""] = /BZIMAGE \[(.*)\] (\w+)/.exec(text) ?? []
  return { args, initrd: Number.parseInt(size, 16) }
}

export const bzImagePlans: readonly Plan[] = [
  {
    name: "bzimage",
    covers: ["OVMS-GST-010"],
    async run(scene) {
      const { start, folder } = scene
      const kernel = bzImage()
      const initrd = Buffer.alloc(INITRD_BYTES, "i")
      const document = {
        name: "conformance",
        kernel: { ref: digestOf(kernel), args: ARGS },
        initrd: { ref: digestOf(initrd) },
        resources: { memory: 32 << 20, vcpus: 1 },
      }
      const artifact = withLayers(artifactOf({ kernel, diskless: true, document }), [
        ["application/vnd.ovms.initrd.v1", initrd],
      ])
      const id = await start({ manifest: await writeLayout(join(folder, "bzimage"), artifact) })
      const { args, initrd: size } = await given(scene, id)
      must(args === ARGS, `its command line is ${args}`)
      must(size === INITRD_BYTES, `its initial RAM disk has ${size} bytes, and not ${INITRD_BYTES}`)
    },
  },
]
