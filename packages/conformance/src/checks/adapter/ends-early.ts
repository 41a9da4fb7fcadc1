import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { emptyOverlay } from "../../artifact/qcow2.ts"
import { must, skip } from "../../check.ts"
import { SmallDisk } from "../../subject/small-disk.ts"
import { planOf, Vmm } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

const ROOM = 64 << 20
const SIZE = 256 << 20

/** Guests that are over before anybody looks, and that stand still. */
export const adapterEndPlans: readonly AdapterPlan[] = [
  {
    name: "ended-before-it-was-looked-at",
    covers: ["OVMS-ADP-060"],
    run: async ({ session, ...call }) =>
      Vmm.run(session, await planOf(call, "tick_ms=1 ticks=1 off=1"), call, async (vmm) => {
        // A VMM that does not wait for `start` has ended by then.
        await new Promise((resolve) => setTimeout(resolve, 1500))
        await session.ask("start", vmm.members)
        const { reason } = await session.ask("ended", { ...(await vmm.end()) })
        must(
          reason === undefined || reason === "guest-shutdown",
          `the reason is ${reason}, and not guest-shutdown`,
        )
      }),
  },
  {
    name: "never-ran",
    covers: ["OVMS-ADP-034", "OVMS-ADP-040"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "")
      await writeFile(plan.kernel.path, "no kernel")
      const { error } = await session.answer(session.send("prepare", { plan }), "prepare")
      if (error) return
      await Vmm.run(session, plan, call, async (vmm) => {
        const code = await session.refused("start", vmm.members)
        must(code === "OVM_VMM_FAILED", `start of a VMM that took no kernel was answered with ${code}`)
        vmm.child.kill("SIGKILL")
        const { reason } = await session.ask("ended", { ...(await vmm.end()) })
        must(!/^(guest-|result)/.test(String(reason)), `of a guest that never ran the reason is ${reason}`)
      })
    },
    slow: true,
  },
  {
    name: "start-that-watches",
    covers: ["OVMS-ADP-062"],
    run: async ({ session, ...call }) =>
      Vmm.run(session, await planOf(call, ""), call, async (vmm) => {
        const { running } = await session.ask("start", vmm.members)
        if (running === undefined) skip("the adapter does not answer start with what it answers to watch")
        must(running === true, "start says of a guest that runs that it does not")
        await vmm.says(/GUEST-READY/)
        await session.ask("pause", vmm.members)
        await session.told(vmm.plan.directory, "request")
        await session.ask("quit", vmm.members)
        await vmm.end()
        await session.toldOfTheEnd(vmm.plan.directory)
      }),
  },
  {
    name: "full-disk",
    covers: ["OVMS-ADP-035", "OVMS-ADP-037"],
    async run({ session, ...call }) {
      const folder = join(call.folder, "small")
      await SmallDisk.at(folder, ROOM, async (small) => {
        const [base, overlay] = [join(folder, "base.raw"), join(folder, "overlay.qcow2")]
        await writeFile(base, Buffer.alloc(1 << 20))
        await writeFile(overlay, emptyOverlay(SIZE, "no-such-file.raw"))
        const disk = { layers: [{ path: base, format: "raw" }], overlay, size: SIZE, ephemeral: false }
        const plan = await planOf({ ...call, folder }, "grow=8", { disk })
        await Vmm.run(session, plan, call, async (vmm) => {
          await session.ask("start", vmm.members)
          await session.ask("watch", vmm.members)
          await vmm.says(/TICK 2\r?\n/)
          small.fill()
          await session.told(plan.directory, "disk-full")
          const { running, reason } = await session.ask("watch", vmm.members)
          must(
            running === false && reason === "disk-full",
            `watch says running ${running}, and the reason ${reason}`,
          )
          const code = await session.refused("resume", vmm.members)
          must(/^OVM_(NO_SPACE|VMM_FAILED)$/.test(code), `resume was answered with ${code}`)
          small.free()
          await session.ask("resume", vmm.members)
          await session.told(plan.directory, undefined)
          // What was wrong once is over.
          await session.ask("pause", vmm.members)
          await session.told(plan.directory, "request")
          await session.ask("quit", vmm.members)
          await vmm.end()
        })
      })
    },
  },
]
