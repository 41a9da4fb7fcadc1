import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { counterDisk } from "../../artifact/counter.ts"
import { emptyOverlay } from "../../artifact/qcow2.ts"
import { must } from "../../check.ts"
import { honoured, planOf, Vmm } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

export const adapterDiskPlans: readonly AdapterPlan[] = [
  {
    name: "layers-are-left-alone",
    covers: ["OVMS-ADP-050"],
    async run({ session, ...call }) {
      const { kernel: _, ...plan } = await planOf(call, "")
      const [base, middle, overlay] = ["base.raw", "middle.qcow2", "overlay.qcow2"].map((name) =>
        join(call.folder, name),
      )
      if (!base || !middle || !overlay) throw new Error("there are three files")
      await writeFile(base, counterDisk())
      // What the headers say is below them is not there.
      const between = emptyOverlay(1 << 20, "no-such-file.raw")
      await writeFile(middle, between)
      await writeFile(overlay, emptyOverlay(1 << 20, "no-such-file.qcow2"))
      const layers = [
        { path: base, format: "raw" },
        { path: middle, format: "qcow2" },
      ]
      const disk = { layers, overlay, size: 1 << 20, ephemeral: false }
      await honoured(session, { ...plan, disk }, ["kernel", "disk"])
      await Vmm.run(session, { ...plan, disk }, call, async (vmm) => {
        await session.ask("start", vmm.members)
        await vmm.says(/BOOT 1\n/)
        await session.ask("quit", vmm.members)
        await vmm.end()
      })
      must((await readFile(base)).equals(counterDisk()), "the guest's writes are in the base")
      must((await readFile(middle)).equals(between), "the guest's writes are in a layer")
      must(
        !(await readFile(overlay)).equals(emptyOverlay(1 << 20, "no-such-file.qcow2")),
        "the overlay is empty",
      )
    },
  },
]
