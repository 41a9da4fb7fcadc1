import { must } from "../../check.ts"
import { within } from "../../subject/within.ts"
import { ticks } from "../ticks.ts"
import { booted, planOf, Vmm } from "./machine.ts"
import type { AdapterPlan, AdapterScene } from "./plan.ts"

/** By when all has come that a guest said before it was paused, in ms. */
const STILL_MS = 10_000

/** A guest that ends by itself, and what the adapter says of that. */
function ends(args: string, reason: string, result?: number): AdapterPlan {
  return {
    name: `ends-by-${reason}${result === undefined ? "" : `-${result}`}`,
    covers: ["OVMS-ADP-040", "OVMS-ADP-041", ...(reason === "guest-panic" ? ["OVMS-ADP-036"] : [])],
    run: ({ session, ...call }) =>
      booted(session, call, `ticks=3 ${args}`, async (vmm) => {
        await session.ask("watch", vmm.members)
        const how = await vmm.end()
        await session.toldOfTheEnd(vmm.plan.directory)
        const said = await session.ask("ended", { ...how })
        must(said.reason === reason, `the reason is ${said.reason}, and not ${reason}`)
        must(said.result === result, `the result is ${said.result}, and not ${result}`)
      }),
  }
}

async function paused({ session }: AdapterScene, vmm: Vmm): Promise<void> {
  await session.ask("pause", vmm.members)
  await session.told(vmm.plan.directory, "request")
}

const ARGUMENTS = `word=a,b=c -S,x  "two  words" 'q' \\ $HOME %s`

export const adapterLifePlans: readonly AdapterPlan[] = [
  {
    name: "boots",
    covers: ["OVMS-ADP-032", "OVMS-ADP-034", "OVMS-ADP-051"],
    run: ({ session, ...call }) =>
      booted(session, call, ARGUMENTS, async (vmm) => {
        await vmm.says(/CMDLINE \[.*\r?\n/)
        must(vmm.console.includes(` ${ARGUMENTS}`), "the arguments that the guest finds are others")
        await vmm.says(/TICK 2\r?\n/)
        const kib = Number(/ram_kib=(\d+)/.exec(vmm.console)?.[1])
        must(kib > 28 * 1024 && kib <= 32 * 1024, `the guest finds ${kib} KiB of RAM, and not 32 MiB`)
      }),
  },
  {
    name: "pause",
    covers: ["OVMS-ADP-035"],
    run: (scene) =>
      booted(scene.session, scene, "", async (vmm) => {
        const { session } = scene
        const { running } = await session.ask("watch", vmm.members)
        must(running === true, "watch does not say that the guest runs")
        await paused(scene, vmm)
        // What it has said before may be on its way.
        let before = -1
        await within(STILL_MS, scene.signal, "the guest that is paused stands still", async () => {
          before = ticks(vmm.console)
          await new Promise((resolve) => setTimeout(resolve, 1000))
          return ticks(vmm.console) === before
        })
        const looked = await session.ask("watch", vmm.members)
        must(looked.running === false && looked.reason === "request", `watch says ${JSON.stringify(looked)}`)
        await session.ask("resume", vmm.members)
        await session.told(vmm.plan.directory, undefined)
        await vmm.says(new RegExp(`TICK ${before + 3}\\r?\\n`))
      }),
  },
  ends("off=1", "guest-shutdown"),
  ends("", "guest-reset"),
  ends("panic=1", "guest-panic"),
  ends("result=1", "result", 1),
  ends("result=127", "result", 127),
  {
    name: "panic-seen-by-watch",
    covers: ["OVMS-ADP-036"],
    run: ({ adapter, session, ...call }) =>
      booted(session, call, "ticks=20 panic=1", async (vmm) => {
        session.child.kill("SIGKILL")
        await vmm.says(/GUEST-PANIC/)
        await adapter.session(call, async (next) => {
          // It may have ended by now, of which watch may say so.
          await next.answer(next.send("watch", vmm.members), "watch")
          const { reason } = await next.ask("ended", { ...(await vmm.end()) })
          must(reason === "guest-panic", `the reason is ${reason}, and not guest-panic`)
        })
      }),
  },
  {
    name: "others-while-one-waits",
    covers: ["OVMS-ADP-012", "OVMS-ADP-034"],
    run: async ({ session, ...call }) =>
      Vmm.run(session, await planOf(call, ""), call, async (vmm) => {
        // A VMM that stands still takes no command, so that start cannot be answered.
        vmm.child.kill("SIGSTOP")
        const start = session.send("start", vmm.members)
        await session.ask("capabilities")
        // One that runs its guest unasked may have done so before.
        const isEarly = vmm.console === "" && session.hasAnswered(start)
        must(!isEarly, "start was answered while the VMM stands still, whose guest has not run")
        vmm.child.kill("SIGCONT")
        const { error } = await session.answer(start, "start")
        must(!error, `start was answered with ${error?.code}`)
        await vmm.says(/GUEST-READY/)
      }),
  },
  {
    name: "ends-by-signal",
    covers: ["OVMS-ADP-040"],
    run: ({ session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        await session.ask("watch", vmm.members)
        vmm.child.kill("SIGKILL")
        const { reason } = await session.ask("ended", { ...(await vmm.end()) })
        must(reason === undefined || reason === "signal", `of a VMM that was killed the reason is ${reason}`)
      }),
  },
  {
    name: "quit",
    covers: ["OVMS-ADP-039"],
    run: ({ session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        await session.ask("quit", vmm.members)
        const how = await vmm.end()
        must(how.signal === undefined, `the VMM did not end by itself, but by signal ${how.signal}`)
        const { reason } = await session.ask("ended", { ...how })
        must(reason === "quit", `the reason is ${reason}, and not quit`)
      }),
  },
  {
    name: "power-button",
    covers: ["OVMS-ADP-038"],
    run: (scene) =>
      booted(scene.session, scene, "button=1", async (vmm) => {
        const { session } = scene
        await session.ask("watch", vmm.members)
        await paused(scene, vmm)
        await session.ask("press", vmm.members)
        const { reason } = await session.ask("ended", { ...(await vmm.end()) })
        must(reason === "guest-shutdown", `the reason is ${reason}: the guest heard no power button`)
      }),
  },
  {
    name: "another-process",
    covers: ["OVMS-ADP-020", "OVMS-ADP-035", "OVMS-ADP-041"],
    run: ({ adapter, session, ...call }) =>
      booted(session, call, "", async (vmm) => {
        session.child.kill("SIGKILL")
        await adapter.session(call, async (next) => {
          const { running } = await next.ask("watch", vmm.members)
          must(running === true, "an adapter that was started anew does not find the guest running")
          await next.ask("pause", vmm.members)
          await next.told(vmm.plan.directory, "request")
          await next.ask("quit", vmm.members)
          const { reason } = await next.ask("ended", { ...(await vmm.end()) })
          await next.toldOfTheEnd(vmm.plan.directory)
          must(reason === "quit", `the reason is ${reason}, and not quit`)
        })
      }),
  },
]
