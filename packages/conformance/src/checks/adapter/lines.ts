import { existsSync } from "node:fs"
import { mkdir, readdir, symlink } from "node:fs/promises"
import { basename, delimiter, join } from "node:path"
import { must, skip } from "../../check.ts"
import { planOf, Vmm } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

/** Of a member of the plan, with the index of one of a list, or an override. */
const POINTER =
  /^(\/((disks|volumes|devices)(\/\d+)?|resources|kernel|initrd|disk|firstBoot|ignition|network|agent|accelerator|generationId)(\/.*)?|[a-z][A-Za-z]*)$/

/** A PATH as this one, but nothing is found by that name: a folder that has it is replaced by one of links. */
async function without(folder: string, name: string): Promise<string> {
  const places = (process.env.PATH ?? "").split(delimiter).map(async (place, at) => {
    if (!existsSync(join(place, name))) return place
    const links = join(folder, `path${at}`)
    await mkdir(links)
    for (const one of await readdir(place))
      if (one !== name) await symlink(join(place, one), join(links, one))
    return links
  })
  return (await Promise.all(places)).join(delimiter)
}

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
      must(String(found.binary).startsWith("/"), `binary is ${found.binary}, and no absolute path`)
    },
  },
  {
    name: "every-accelerator",
    covers: ["OVMS-ADP-030"],
    async run({ session, ...call }) {
      const { accelerators } = await session.ask("capabilities")
      const plan = await planOf(call, "")
      for (const accelerator of Array.isArray(accelerators) ? accelerators : []) {
        const { findings } = await session.ask("check", { plan: { ...plan, accelerator } })
        const found = (Array.isArray(findings) ? findings : []).find(
          ({ pointer }) => pointer === "/accelerator",
        )
        must(!found, `of ${accelerator}, on which machines could run, check finds: ${found?.reason}`)
      }
    },
  },
  {
    name: "vmm-that-is-not-there",
    covers: ["OVMS-ADP-030"],
    async run({ adapter, session, ...call }) {
      const { binary } = await session.ask("capabilities")
      const path = await without(call.folder, basename(String(binary)))
      await adapter.session(
        call,
        async (next) => {
          const { result, error } = await next.answer(next.send("capabilities"), "capabilities")
          if (result && existsSync(String(result.binary))) skip("it finds its VMM elsewhere than on PATH")
          must(error?.code === "OVM_VMM_MISSING", `without its VMM it answers ${error?.code ?? "as with it"}`)
        },
        path,
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
      await Vmm.run(session, plan, call, async (vmm) => {
        for (const verb of ["start", "watch", "quit"])
          await session.ask(verb, { ...vmm.members, later: true })
        await session.ask("ended", { ...(await vmm.end()), later: true })
      })
    },
  },
  {
    name: "long-line",
    covers: ["OVMS-ADP-063"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "", { later: "x".repeat(900_000) })
      await session.ask("check", { plan })
      await session.ask("prepare", { plan })
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
    name: "whatever-is-found",
    covers: ["OVMS-ADP-031", "OVMS-ADP-054"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "")
      const { kernel, resources } = plan
      const plans: readonly object[] = [
        { ...plan, kernel: { ...kernel, args: "a\nb" } },
        { ...plan, kernel: { ...kernel, args: "x".repeat(3000) } },
        { ...plan, resources: { ...resources, memory: 1 } },
        { ...plan, resources: { ...resources, memory: resources.memory + 4096 } },
        { ...plan, resources: { ...resources, vcpus: 100_000 } },
        { ...plan, kernel: undefined },
      ]
      for (const one of plans) {
        const { findings } = await session.ask("check", { plan: one })
        must(Array.isArray(findings), "findings are no list")
        for (const { pointer, severity, reason } of findings) {
          must(POINTER.test(String(pointer)), `pointer of a finding is ${pointer}`)
          must(/^(fatal|degraded)$/.test(String(severity)), `the finding at ${pointer} is ${severity}`)
          must(typeof reason === "string" && reason, `the finding at ${pointer} has no reason`)
        }
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
    covers: ["OVMS-ADP-015", "OVMS-ADP-022", "OVMS-ADP-031", "OVMS-ADP-032"],
    async run({ session, ...call }) {
      await session.ask("capabilities")
      const plan = await planOf(call, "")
      // Neither starts anything.
      for (const verb of ["check", "prepare"]) await session.ask(verb, { plan })
      const left = await session.end()
      must(left === 0, `it left ${left} processes behind`)
    },
  },
]
