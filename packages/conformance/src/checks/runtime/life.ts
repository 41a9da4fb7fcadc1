import { isDeepStrictEqual } from "node:util"
import { must } from "../../check.ts"
import { alive, largest, pagesOf, processesWith, processorTime } from "../../subject/processes.ts"
import type { Instance } from "../../subject/runtime.ts"
import { type Feature, needs } from "../../subject/vmms.ts"
import { ticks } from "../ticks.ts"
import { hasArguments } from "./arguments.ts"
import { eventsOf } from "./events.ts"
import { endsWhole, leavesNoFile } from "./left.ts"
import { type Plan, type Scene, TICK_MS } from "./plan.ts"

interface End {
  readonly args?: string
  /** What not every VMM has for it. */
  readonly device?: Feature
}

/** A guest that ends by itself. */
function ends(
  name: string,
  covers: readonly string[],
  { args = "", device }: End,
  look: (instance: Instance) => void,
): Plan {
  return {
    name: `ends-by-${name}`,
    covers: [
      ...covers,
      "OVMS-API-073",
      "OVMS-API-080",
      "OVMS-API-081",
      "OVMS-API-230",
      "OVMS-API-235",
      "OVMS-API-043",
      "OVMS-API-041",
      "OVMS-STA-002",
    ],
    async run({ runtime, boot }) {
      if (device) await needs(runtime, device)
      const id = await boot(`ticks=3 ${args}`)
      const instance = await runtime.reaches(id, "stopped", "failed")
      look(instance)
      must(instance.finished, "it does not say when it ended")
      const told = (await eventsOf(runtime, id)).at(-1)
      must(told?.type === instance.state, `the last event is ${told?.type}, and the state ${instance.state}`)
      must(
        told.exit?.reason === instance.exit?.reason && told.error?.code === instance.error?.code,
        `the event of the end says ${told.exit?.reason}, ${told.error?.code}`,
      )
      must((await runtime.logs(id)).includes("GUEST-READY"), "the console of the machine that ended is gone")
      const { status } = await runtime.ask<{ status: string }>("POST /stop", "", {
        body: { instance_id: id },
      })
      must(status === instance.state, `the stop of what is ${instance.state} was answered with ${status}`)
      const after = await runtime.status(id)
      must(isDeepStrictEqual(after, instance), `a stop changed what had ended: ${JSON.stringify(after)}`)
      must(
        Date.parse(told.time) >= Date.parse(instance.finished) - 50,
        `its end was at ${instance.finished}, and is told as of ${told.time}`,
      )
      const { instances } = await runtime.ask<{ instances: readonly Instance[] }>("GET /instances")
      const listed = instances.find((one) => one.instance_id === id)
      must(isDeepStrictEqual(listed, after), "the list lacks what has ended, or says something else of it")
      await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
    },
  }
}

async function removed({ runtime }: Scene, id: string): Promise<void> {
  await runtime.refused("GET /status/{instance_id}", "OVM_INSTANCE_UNKNOWN", id)
  const { instances } = await runtime.ask<{ instances: readonly Instance[] }>("GET /instances")
  must(!instances.some((one) => one.instance_id === id), "the list has what was deleted")
}

export const lifePlans: readonly Plan[] = [
  {
    name: "boots",
    covers: [
      "OVMS-API-020",
      "OVMS-API-024",
      "OVMS-API-060",
      "OVMS-API-064",
      "OVMS-API-130",
      "OVMS-API-070",
      "OVMS-API-034",
      "OVMS-GST-011",
      "OVMS-GST-020",
    ],
    async run(scene) {
      const { runtime, boot } = scene
      const id = await boot("word=suite-7")
      const text = await runtime.says(id, /TICK 10\r?\n/)
      for (let n = 1; n <= 10; n++)
        must(new RegExp(`TICK ${n}\\r?\\n`).test(text), `the console lacks TICK ${n}, which the guest wrote`)
      // The manifest's are other ones.
      await hasArguments(scene, text, `console=ttyS0 word=suite-7 tick_ms=${TICK_MS}`)
      const instance = await runtime.status(id)
      must(instance.state === "running", `a guest that counts is ${instance.state}`)
      must(
        instance.started !== undefined && Date.parse(instance.started) >= Date.parse(instance.created),
        `it was made at ${instance.created} and started at ${instance.started}`,
      )
      const pages = pagesOf(processesWith(id))
      const { rss = 0 } = instance.resources
      must(
        pages === 0 || (rss > pages * 2048 && rss < pages * 8192),
        `rss is ${rss} bytes, of ${pages} pages`,
      )
      must(/^sha256:[0-9a-f]{64}$/.test(instance.image.digest ?? ""), "the image has no digest")
      const vmm = largest(processesWith(id))
      const [before, { cpu_time_ms = 0 }, after] = [
        processorTime(vmm),
        (await runtime.status(id)).resources,
        processorTime(vmm),
      ]
      must(
        before === undefined ||
          after === undefined ||
          (cpu_time_ms >= before - 50 && cpu_time_ms <= after + 50),
        `cpu_time_ms is ${cpu_time_ms}, and the host counts ${before} to ${after}`,
      )
    },
  },
  {
    name: "running-with-a-vmm",
    covers: ["OVMS-STA-035"],
    async run({ runtime, start }) {
      const id = await start({ manifest: runtime.guest, overrides: { args: "console=ttyS0 tick_ms=50" } })
      await runtime.until("it is running", async () => {
        const { state } = await runtime.status(id)
        must(state === "starting" || state === "running", `what is being started is ${state}`)
        return state === "running"
      })
      const then = processesWith(id)
      await runtime.says(id, /TICK 1\r?\n/)
      const vmm = largest(alive(processesWith(id)))
      must(vmm === 0 || then.includes(vmm), "it was said to be running before there was a VMM")
    },
  },
  {
    name: "processors-and-memory",
    covers: ["OVMS-API-032", "OVMS-GST-001"],
    async run({ runtime, boot }) {
      const id = await boot("cpus=1", { memory: 64 << 20, vcpus: 2 })
      await runtime.says(id, /TICK 1\r?\n/)
      const said = await runtime.logs(id)
      const kib = Number(/ram_kib=(\d+)/.exec(said)?.[1])
      const cpus = /CPUS (\w+)/.exec(said)?.[1]
      must(cpus === "2" || cpus === "none", `the guest finds ${cpus} processors, and not 2`)
      must(kib > 60 * 1024 && kib <= 64 * 1024, `the guest finds ${kib} KiB of RAM, and not 64 MiB`)
      const { memory, vcpus } = (await runtime.status(id)).resources
      must(memory === 64 << 20 && vcpus === 2, `it says that it has ${vcpus} vCPUs and ${memory} bytes`)
    },
  },
  {
    name: "stop",
    covers: [
      "OVMS-API-041",
      "OVMS-API-042",
      "OVMS-API-045",
      "OVMS-API-043",
      "OVMS-API-031",
      "OVMS-API-060",
      "OVMS-API-341",
      "OVMS-API-080",
      "OVMS-API-230",
      "OVMS-STA-003",
      "OVMS-STA-002",
      "OVMS-STA-020",
      "OVMS-API-064",
      "OVMS-API-073",
      "OVMS-CNF-053",
    ],
    async run({ runtime, boot }) {
      // It would power off if it were asked to, which a grace of 0 forbids.
      const id = await boot("button=1")
      await runtime.says(id, /TICK 1\r?\n/)
      const pids = processesWith(id)
      const body = { instance_id: id, grace_ms: 0 }
      const { status } = await runtime.ask<{ status: string }>("POST /stop", "", { body })
      must(/^(stopping|stopped)$/.test(status), `the stop was answered with ${status}`)
      const ended = await runtime.reaches(id, "stopped")
      must(/^(ended|killed)$/.test(ended.stop_method ?? ""), `stop_method is ${ended.stop_method}`)
      await endsWhole(runtime, id, pids)
      const { instances } = await runtime.ask<{ instances: readonly Instance[] }>("GET /instances")
      must(
        instances.some((one) => one.instance_id === id),
        "the list lacks an instance that has ended",
      )
      must((await runtime.logs(id)).includes("GUEST-READY"), "the console is gone")
      must(ended.finished, "it does not say when it ended")
      const how = ended.stop_method === "killed" ? "signal" : "quit"
      must(ended.exit?.reason === how, `it was ${ended.stop_method}, and the reason is ${ended.exit?.reason}`)
      const named = { manifest: runtime.guest, overrides: { name: ended.name } }
      await runtime.refused("POST /instances", "OVM_NAME_IN_USE", "", { body: named })
      const again = await runtime.ask<{ status: string }>("POST /stop", "", { body })
      must(again.status === "stopped", `the stop of what has ended was answered with ${again.status}`)
      const after = await runtime.status(id)
      must(after.state === "stopped", "what had ended changed its state")
      const shown = instances.find((one) => one.instance_id === id)
      must(isDeepStrictEqual(shown, after), "the list says something else of it than its status")
      const types = (await eventsOf(runtime, id)).map(({ type }) => type).join()
      must(types === "starting,running,stopping,stopped", `its events are ${types}`)
    },
  },
  {
    name: "power-button",
    covers: ["OVMS-API-040", "OVMS-GST-050"],
    async run({ runtime, boot }) {
      const id = await boot("button=1")
      await runtime.says(id, /TICK 1\r?\n/)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 30000 } })
      const { stop_method } = await runtime.reaches(id, "stopped")
      must(stop_method === "guest", `the guest heard no power button: stop_method is ${stop_method}`)
    },
  },
  {
    name: "stop-of-the-stopped",
    covers: ["OVMS-API-043"],
    async run({ runtime, create }) {
      const id = await create()
      await runtime.ask("POST /stop", "", { body: { instance_id: id } })
    },
  },
  {
    name: "delete",
    covers: ["OVMS-API-080", "OVMS-API-081", "OVMS-API-082", "OVMS-CNF-053", "OVMS-ERR-003"],
    async run(scene) {
      const id = await scene.boot()
      const operation = "DELETE /instances/{instance_id}"
      const pids = processesWith(id)
      await scene.runtime.refused(operation, "OVM_STATE_CONFLICT", id)
      await scene.runtime.ask(operation, id, { query: "force=true" })
      await removed(scene, id)
      await endsWhole(scene.runtime, id, pids)
      await leavesNoFile(scene.runtime, id)
    },
  },
  {
    name: "pause",
    covers: [
      "OVMS-API-017",
      "OVMS-API-081",
      "OVMS-API-140",
      "OVMS-API-143",
      "OVMS-API-230",
      "OVMS-API-530",
      "OVMS-STA-033",
    ],
    async run({ runtime, boot }) {
      const id = await boot()
      const again = async (verb: "pause" | "resume", wanted: string, body?: object) => {
        const operation = `POST /instances/{instance_id}/${verb}`
        const { status } = await runtime.ask<{ status: string }>(operation, id, { body })
        must(status === wanted, `the ${verb} was answered with ${status}`)
      }
      const surplus = { body: { surplus: 1 } }
      await runtime.refused("POST /instances/{instance_id}/pause", "OVM_REQUEST_INVALID", id, surplus)
      must((await runtime.status(id)).state === "running", "a pause that was refused has paused it")
      for (const body of [undefined, {}]) await again("pause", "paused", body)
      await runtime.refused("POST /instances/{instance_id}/resume", "OVM_REQUEST_INVALID", id, surplus)
      await runtime.refused("DELETE /instances/{instance_id}", "OVM_STATE_CONFLICT", id)
      must((await runtime.status(id)).reason === "request", "reason of the paused instance is not request")
      // What it has said before may be on its way.
      const [before] = await runtime.until("the guest that is paused stands still", async () => {
        const said = ticks(await runtime.logs(id))
        await new Promise((resolve) => setTimeout(resolve, 1000))
        return ticks(await runtime.logs(id)) === said && ([said] as const)
      })
      for (const body of [undefined, {}]) await again("resume", "running", body)
      must((await runtime.status(id)).reason === undefined, "reason is there although it runs")
      await runtime.until("the guest goes on", async () => ticks(await runtime.logs(id)) > before + 3)
      const told = (await eventsOf(runtime, id)).map(({ type, reason }) => `${type}${reason ?? ""}`).join()
      must(told === "starting,running,pausedrequest,running", `its events are ${told}`)
    },
  },
  {
    name: "pause-of-the-stopped",
    covers: ["OVMS-API-141", "OVMS-STA-006"],
    async run({ runtime, create }) {
      const id = await create()
      for (const verb of ["pause", "resume"])
        await runtime.refused(`POST /instances/{instance_id}/${verb}`, "OVM_STATE_CONFLICT", id)
    },
  },
  ends(
    "power-off",
    ["OVMS-STA-001", "OVMS-API-062", "OVMS-API-341"],
    { args: "off=1", device: "powerOff" },
    ({ state, exit }) => {
      must(state === "stopped" && exit?.reason === "guest-shutdown", `it is ${state}: ${exit?.reason}`)
    },
  ),
  ends("reset", ["OVMS-STA-031", "OVMS-GST-051"], {}, ({ state, exit }) => {
    must(state === "stopped" && exit?.reason === "guest-reset", `it is ${state}: ${exit?.reason}`)
  }),
  ends(
    "panic",
    ["OVMS-STA-030", "OVMS-GST-052"],
    { args: "panic=1", device: "panic" },
    ({ state, exit, error }) => {
      must(state === "failed" && exit?.reason === "guest-panic", `it is ${state}: ${exit?.reason}`)
      must(error?.code === "OVM_GUEST_PANICKED", `its error is ${error?.code}`)
    },
  ),
  ends(
    "result",
    ["OVMS-API-062", "OVMS-STA-047", "OVMS-GST-053"],
    { args: "result=7", device: "result" },
    ({ state, exit }) => {
      must(state === "stopped" && exit?.reason === "result", `it is ${state}: ${exit?.reason}`)
      must(exit.status === 7, `the result is ${exit.status}, and not 7`)
    },
  ),
]
