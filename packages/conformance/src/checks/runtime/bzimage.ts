import { join } from "node:path"
import { bzImage } from "../../artifact/bzimage.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf, withLayers } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import type { Plan } from "./plan.ts"

const ARGS = "console=ttyS0 suite=one  two"
const INITRD_BYTES = 12_345

/** A kernel that says what the boot protocol of Linux has given it. */
export const bzImagePlans: readonly Plan[] = [
  {
    name: "bzimage",
    covers: ["OVMS-GST-010"],
    async run({ runtime, start, folder }) {
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
      const text = await runtime.says(id, /BZIMAGE \[[^\n]*\n/)
      must(text.includes(`BZIMAGE [${ARGS}]`), `its command line is ${/BZIMAGE.*/.exec(text)?.[0]}`)
      const size = INITRD_BYTES.toString(16).padStart(8, "0")
      must(
        text.includes(`] ${size}`),
        `its initial RAM disk is ${/\] (.*)/.exec(text)?.[1]}, and not ${size}`,
      )
    },
  },
]
