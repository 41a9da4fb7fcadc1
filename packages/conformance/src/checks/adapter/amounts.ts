import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { GUEST_MEMORY } from "../../artifact/guest.ts"
import { must, skip } from "../../check.ts"
import { boots } from "./honours.ts"
import { planOf, Vmm } from "./machine.ts"
import type { AdapterPlan, AdapterScene } from "./plan.ts"

const COVERS = ["OVMS-ADP-053"]
const MIB = 1 << 20

async function processors(scene: AdapterScene, vcpus: number): Promise<void> {
  const resources = { vcpus, memory: GUEST_MEMORY }
  const found = await boots(scene, "cpus=1", { resources }, [/CPUS \w+\r?\n/])
  if (found.includes("CPUS none")) skip("the guest finds no table of ACPI's that counts processors")
  must(
    new RegExp(`CPUS ${vcpus}\\r?\\n`).test(found),
    `the guest finds other processors than ${vcpus}: ${/CPUS.*/.exec(found)}`,
  )
}

/** How much of what a plan says the guest finds. */
export const adapterAmountPlans: readonly AdapterPlan[] = [
  { name: "one-processor", covers: COVERS, run: (scene) => processors(scene, 1) },
  { name: "processors", covers: COVERS, run: (scene) => processors(scene, 3) },
  {
    name: "memory",
    covers: COVERS,
    async run(scene) {
      for (const mib of [24, 45]) {
        const folder = join(scene.folder, String(mib))
        await mkdir(folder)
        const resources = { vcpus: 1, memory: mib * MIB }
        const found = await boots({ ...scene, folder }, "", { resources }, [/ram_kib=\d+/])
        const kib = Number(/ram_kib=(\d+)/.exec(found)?.[1])
        must(
          kib > (mib - 4) * 1024 && kib <= mib * 1024,
          `the guest finds ${kib} KiB of RAM, and not ${mib} MiB`,
        )
      }
    },
  },
  {
    name: "many-arguments",
    covers: COVERS,
    async run(scene) {
      const words = Array.from({ length: 140 }, (_, at) => `word.${at}=${at}`).join(" ")
      const found = await boots(scene, words, {}, [/CMDLINE \[.*\r?\n/])
      must(found.includes(words), "the guest does not find all of its arguments")
    },
  },
  {
    name: "least-plan",
    covers: ["OVMS-ADP-066"],
    async run(scene) {
      await boots(scene, "", { disks: undefined, devices: undefined, volumes: undefined }, [])
    },
  },
  {
    name: "accelerators",
    covers: ["OVMS-ADP-030", ...COVERS],
    async run(scene) {
      const { accelerators } = await scene.session.ask("capabilities")
      for (const accelerator of Array.isArray(accelerators) ? accelerators : []) {
        const folder = join(scene.folder, accelerator)
        await mkdir(folder)
        await boots({ ...scene, folder }, "", { accelerator }, [])
      }
    },
  },
  {
    name: "without-what-is-not-required",
    covers: ["OVMS-ADP-031", ...COVERS],
    async run({ session, ...call }) {
      const devices = [{ type: "nonsense", name: "a", required: false }]
      const plan = await planOf(call, "", { devices })
      await session.ask("check", { plan })
      await Vmm.run(session, plan, call, async (vmm) => {
        await session.ask("start", vmm.members)
        await vmm.says(/TICK 1\r?\n/)
      })
    },
  },
]
