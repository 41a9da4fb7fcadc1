import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { must } from "../../check.ts"
import { ticks } from "../ticks.ts"
import { booted, planOf, Vmm } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

/** That the guest goes on from here. */
const goesOn = (vmm: Vmm, more = 3) => vmm.says(new RegExp(`TICK ${ticks(vmm.console) + more}\\r?\\n`))

/** What a guest does before nobody looks, and what may be said of that; nothing is always right. */
const UNSEEN = [
  ["off=1", "guest-shutdown"],
  ["", "guest-reset"],
  ["result=7", "result"],
] as const

/** Of machines beside and behind each other, and of what an adapter has not seen. */
export const adapterFurtherPlans: readonly AdapterPlan[] = [
  {
    name: "typing",
    covers: ["OVMS-ADP-033"],
    run: ({ session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        // None of them is a key of the VMM's own.
        vmm.child.stdin?.write("a\x01c\x1d\x03b\n")
        await vmm.says(/ECHO \[[^\n]*\]\r?\n/)
        must(
          vmm.console.includes("ECHO [a\x01c\x1d\x03b]"),
          "what is typed does not come to the guest as it is",
        )
        await goesOn(vmm)
      }),
  },
  {
    name: "two-machines",
    covers: ["OVMS-ADP-020", "OVMS-ADP-035"],
    async run({ session, ...call }) {
      const [a, b] = [join(call.folder, "a"), join(call.folder, "b")]
      await mkdir(a)
      await mkdir(b)
      await booted(session, { ...call, folder: a }, "", (one) =>
        booted(session, { ...call, folder: b }, "", async (other) => {
          for (const { members } of [one, other]) await session.ask("watch", members)
          await session.ask("pause", one.members)
          await session.told(one.plan.directory, "request")
          must((await session.ask("watch", one.members)).running === false, "the one that is paused runs")
          must(
            (await session.ask("watch", other.members)).running === true,
            "the other one is paused as well",
          )
          await goesOn(other)
          await session.ask("quit", other.members)
          const { reason } = await session.ask("ended", { ...(await other.end()) })
          must(reason === "quit", `the reason is ${reason}, and not quit`)
          await session.toldOfTheEnd(other.plan.directory)
          await session.ask("resume", one.members)
          await goesOn(one)
          const wrong = session.events.find(
            ({ event, directory, running }) =>
              (event === "ended" && directory === one.plan.directory) ||
              (running === false && directory === other.plan.directory),
          )
          must(!wrong, `of two machines it tells ${JSON.stringify(wrong)}`)
        }),
      )
    },
  },
  {
    name: "second-life",
    covers: ["OVMS-ADP-040", "OVMS-ADP-064"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "")
      await Vmm.run(session, plan, call, async (vmm) => {
        await session.ask("start", vmm.members)
        await session.ask("watch", vmm.members)
        await session.ask("quit", vmm.members)
        const { reason } = await session.ask("ended", { ...(await vmm.end()) })
        must(reason === "quit", `the reason is ${reason}, and not quit`)
      })
      await Vmm.run(session, plan, call, async (vmm) => {
        await session.ask("start", vmm.members)
        await session.ask("watch", vmm.members)
        await vmm.says(/GUEST-READY/)
        vmm.child.kill("SIGKILL")
        const { reason } = await session.ask("ended", { ...(await vmm.end()) })
        must(
          reason === undefined || reason === "signal",
          `of a VMM that was killed in its second life the reason is ${reason}`,
        )
      })
    },
  },
  {
    name: "outlives-its-adapter",
    covers: ["OVMS-ADP-015", "OVMS-ADP-021", "OVMS-ADP-022"],
    run: ({ adapter, session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        await session.ask("watch", vmm.members)
        const left = await session.end()
        must(left === 0, `it left ${left} processes behind`)
        await goesOn(vmm)
        await adapter.session(call, async (next) => {
          const { running } = await next.ask("watch", vmm.members)
          must(running === true, "an adapter that was started anew does not find the guest running")
        })
      }),
  },
  {
    name: "ends-while-it-is-asked",
    covers: ["OVMS-ADP-015"],
    run: async ({ session, ...call }) =>
      Vmm.run(session, await planOf(call, ""), call, async (vmm) => {
        vmm.child.kill("SIGSTOP")
        session.send("start", vmm.members)
        await session.ask("capabilities")
        const left = await session.end()
        must(left === 0, `it left ${left} processes behind`)
      }),
  },
  {
    name: "power-button-that-nobody-hears",
    covers: ["OVMS-ADP-038"],
    run: ({ session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        await session.ask("watch", vmm.members)
        await session.ask("press", vmm.members)
        await goesOn(vmm, 10)
        const { running } = await session.ask("watch", vmm.members)
        must(running === true, "watch does not say that the guest runs")
      }),
  },
  {
    name: "ends-unseen",
    covers: ["OVMS-ADP-040"],
    async run({ adapter, ...call }) {
      for (const [args, reason] of UNSEEN) {
        const folder = join(call.folder, reason)
        await mkdir(folder)
        await adapter.session(call, (first) =>
          booted(first, { ...call, folder }, `ticks=10 ${args}`, async (vmm) => {
            first.child.kill("SIGKILL")
            const how = await vmm.end()
            await adapter.session(call, async (next) => {
              const said = await next.ask("ended", { ...how })
              must(
                said.reason === undefined || said.reason === reason,
                `of an end that nobody saw the reason is ${said.reason}, and not ${reason}`,
              )
            })
          }),
        )
      }
    },
  },
  {
    name: "end-that-another-process-saw",
    covers: ["OVMS-ADP-020", "OVMS-ADP-040"],
    run: ({ adapter, session, ...call }) =>
      booted(session, call, "ticks=3 off=1", async (vmm) => {
        await session.ask("watch", vmm.members)
        const how = await vmm.end()
        await session.toldOfTheEnd(vmm.plan.directory)
        session.child.kill("SIGKILL")
        await adapter.session(call, async (next) => {
          const { reason } = await next.ask("ended", { ...how })
          must(reason === "guest-shutdown", `the reason is ${reason}, and not guest-shutdown`)
        })
      }),
  },
  {
    name: "ends-without-a-status",
    covers: ["OVMS-ADP-040"],
    run: ({ session, ...call }) =>
      booted(session, call, "ticks=3 off=1", async (vmm) => {
        await session.ask("watch", vmm.members)
        await vmm.end()
        const { reason } = await session.ask("ended", vmm.members)
        must(reason === "guest-shutdown", `the reason is ${reason}, and not guest-shutdown`)
      }),
  },
  {
    name: "asked-of-what-has-ended",
    covers: ["OVMS-ADP-065"],
    run: ({ adapter, session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        vmm.child.kill("SIGKILL")
        await vmm.end()
        for (const verb of ["pause", "press"]) await session.refused(verb, vmm.members)
        await adapter.session(call, async (next) => {
          for (const verb of ["watch", "resume", "quit"]) await next.refused(verb, vmm.members)
        })
      }),
  },
]
