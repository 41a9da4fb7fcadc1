import { fail, must } from "../../check.ts"
import { onSmallDisk } from "../runtime/full.ts"
import type { Plan } from "../runtime/plan.ts"
import { linuxOf, READY_MS } from "./stage.ts"

/** For a Linux too, of which a runtime may keep a copy. */
const ROOM = 256 << 20
/** More than there is room for, to its disk and not to memory alone. */
const WRITES = "dd if=/dev/zero of=/big bs=64k count=512 conv=fsync"

interface Listed {
  readonly instances: readonly { readonly state: string }[]
}

/** Nobody would have the guest of one command go on. */
export const linuxFullDiskPlans: readonly Plan[] = [
  {
    name: "linux/sandbox-on-a-full-disk",
    profile: "agent",
    slow: true,
    covers: ["OVMS-API-533"],
    async run(scene) {
      const manifest = await linuxOf(scene)
      await onSmallDisk(
        scene,
        async (runtime, disk) => {
          const body = { manifest, command: ["sh", "-c", WRITES], timeout_ms: READY_MS }
          const refusal = runtime.refused("POST /sandbox", "OVM_NO_SPACE", "", { body })
          refusal.catch(() => {})
          const instances = async () => (await runtime.ask<Listed>("GET /instances")).instances
          const runs = runtime.until("the machine of the command runs", async () =>
            (await instances()).some(({ state }) => state === "running"),
          )
          await Promise.race([runs, refusal.then(() => fail("the disk was said to be full before it was"))])
          disk.fill()
          await refusal
          must((await instances()).length === 0, "the machine of a command that was given up is still there")
        },
        ROOM,
      )
    },
  },
]
