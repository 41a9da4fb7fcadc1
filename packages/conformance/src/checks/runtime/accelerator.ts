import { existsSync } from "node:fs"
import { must, skip } from "../../check.ts"
import { lacks, needs } from "../../subject/vmms.ts"
import { aside } from "./aside.ts"
import type { Plan } from "./plan.ts"

const DEVICE = "/dev/kvm"

interface Started {
  readonly vmm: { readonly accelerator: string }
}

/** A host of its own whose device is another one, which takes no order that an accelerator has. */
const BROKEN = `mount --bind /dev/null ${DEVICE} || exit 69; exec "$@"`

export const acceleratorPlans: readonly Plan[] = [
  {
    name: "device-that-does-not-work",
    covers: ["OVMS-SEC-032"],
    async run(whole) {
      if (!existsSync(DEVICE)) skip(`this host has no ${DEVICE} that could be another`)
      const apart = process.getuid?.() === 0 ? "unshare --mount" : "unshare --user --map-root-user --mount"
      await aside(
        whole,
        async ({ runtime, boot }) => {
          if (await lacks(runtime, "emulation")) {
            const body = { manifest: runtime.guest }
            await runtime.refused("POST /start", "OVM_VMM_MISSING", "", { body })
            await needs(runtime, "emulation")
          }
          const id = await boot()
          const { vmm } = await runtime.ask<Started>("GET /status/{instance_id}", id)
          must(vmm.accelerator !== "kvm", `beside a ${DEVICE} that does not work it says kvm`)
        },
        {},
        `${apart} /bin/sh -c '${BROKEN}' sh`,
      )
    },
  },
]
