import { basename } from "node:path"
import { must } from "../../check.ts"
import { planOf } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

/** How an adapter speaks, and what it says of plans. */
export const linePlans: readonly AdapterPlan[] = [
  {
    name: "first-line",
    covers: ["OVMS-ADP-001", "OVMS-ADP-010"],
    async run({ adapter, session }) {
      const { greeting } = session
      const [, name] = /^ovm-vmm-([a-z][a-z0-9-]{0,31})$/.exec(basename(adapter.program)) ?? []
      must(name !== undefined, `${basename(adapter.program)} is no name of an adapter`)
      must(greeting.adapter === name, `its first line says that it is ${greeting.adapter}, and not ${name}`)
      must(greeting.contract === 1, `its contract is ${greeting.contract}, and not 1`)
      must(typeof greeting.version === "string" && greeting.version, "its first line has no version")
    },
  },
  {
    name: "capabilities",
    covers: ["OVMS-ADP-011", "OVMS-ADP-030"],
    async run({ session }) {
      const found = await session.ask("capabilities")
      for (const name of ["version", "binary", "accelerator", "acceleratorReason"])
        must(typeof found[name] === "string" && found[name], `${name} is missing`)
      const { accelerators } = found
      must(
        Array.isArray(accelerators) && accelerators.includes(found.accelerator),
        "accelerators lacks its own",
      )
    },
  },
  {
    name: "unknown-verb",
    covers: ["OVMS-ADP-011"],
    async run({ session }) {
      await session.refused("dance", { directory: "/nowhere", own: {} })
      await session.ask("capabilities")
    },
  },
  {
    name: "unknown-members",
    covers: ["OVMS-ADP-011"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "", { later: { a: 1 } })
      await session.ask("check", { plan, later: true })
    },
  },
  {
    name: "twenty-at-once",
    covers: ["OVMS-ADP-012"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "")
      const ids = Array.from({ length: 20 }, (_, at) =>
        at % 2 === 0 ? session.send("check", { plan }) : session.send("capabilities"),
      )
      for (const id of ids)
        must((await session.answer(id, "one of twenty")).result, "one of twenty has no result")
    },
  },
  {
    name: "finds-everything",
    covers: ["OVMS-ADP-031", "OVMS-ADP-054"],
    async run({ session, ...call }) {
      const devices = ["a", "b"].map((name, at) => ({ type: "nonsense", name, required: at === 0 }))
      const plan = await planOf(call, "", { devices, accelerator: "nonsense" })
      const { findings } = await session.ask("check", { plan })
      const found = Array.isArray(findings) ? findings : []
      for (const [pointer, severity] of [
        ["/devices/0", "fatal"],
        ["/devices/1", "degraded"],
        ["/accelerator", "fatal"],
      ] as const) {
        const one = found.find((finding) => String(finding.pointer).startsWith(pointer))
        must(one, `nothing is found at ${pointer}`)
        must(one.severity === severity, `the finding at ${pointer} is ${one.severity}, and not ${severity}`)
        must(typeof one.reason === "string" && one.reason, `the finding at ${pointer} has no reason`)
      }
    },
  },
  {
    name: "nothing-to-find",
    covers: ["OVMS-ADP-031"],
    async run({ session, ...call }) {
      const { findings } = await session.ask("check", { plan: await planOf(call, "") })
      const fatal = (Array.isArray(findings) ? findings : []).filter(({ severity }) => severity === "fatal")
      must(Array.isArray(findings) && fatal.length === 0, `the guest cannot be run: ${fatal[0]?.reason}`)
    },
  },
  {
    name: "ends-with-its-input",
    covers: ["OVMS-ADP-015", "OVMS-ADP-022"],
    async run({ session }) {
      await session.ask("capabilities")
      const left = await session.end()
      must(left === 0, `it left ${left} processes behind`)
    },
  },
]
