import { randomUUID } from "node:crypto"
import { must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import { satisfies } from "../../subject/answers.ts"
import type { Runtime } from "../../subject/runtime.ts"
import type { Plan } from "./plan.ts"

/** What checks look at of an event. */
export interface Event {
  readonly id: string
  readonly type: string
  readonly time: string
  readonly instance_id?: string
  readonly finished?: string
  readonly exit?: { readonly reason: string }
}

/** The events that the runtime has kept, each held against its schema. */
export async function events(runtime: Runtime, query?: string): Promise<Event[]> {
  const { status, text } = await runtime.raw("GET", "/events", query === undefined ? {} : { query })
  must(status === 200, `GET /events was answered with ${status}`)
  return [...text.matchAll(/^data: ?(.*)$/gm)].map(([, data = ""]) => {
    const event: unknown = JSON.parse(data)
    satisfies("Event", event, "GET /events")
    return event as Event
  })
}

export const streamPlans: readonly Plan[] = [
  {
    name: "logs-follow",
    covers: ["OVMS-API-071"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=10 off=1")
      const text = await runtime.logs(id, "follow=true")
      must(
        text.includes("GUEST-READY") && text.includes("GUEST-OFF"),
        "the stream ended before the machine did",
      )
      must(text === (await runtime.logs(id)), "what was followed is not what is kept")
    },
  },
  {
    name: "logs-tail",
    covers: ["OVMS-API-074"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=3 off=1")
      await runtime.reaches(id, "stopped")
      const all = await runtime.logs(id)
      const lines = all.split("\n")
      const count = all.endsWith("\n") ? 3 : 2
      const wanted = lines.slice(-count).join("\n")
      must((await runtime.logs(id, "tail=2")) === wanted, "tail=2 is not the last two lines")
      must((await runtime.logs(id, "tail=100000")) === all, "a larger tail is not all there is")
    },
  },
  {
    name: "logs-ndjson",
    covers: ["OVMS-API-072"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=3 off=1")
      await runtime.reaches(id, "stopped")
      const headers = { accept: "application/x-ndjson" }
      const { text } = await runtime.raw("GET", `/logs/${id}`, { headers })
      const lines = text.trim().split("\n")
      must(lines.length > 3, "there are not as many lines as the guest wrote")
      for (const line of lines) satisfies("LogLine", JSON.parse(line), "GET /logs as ndjson")
    },
  },
  {
    name: "input",
    covers: ["OVMS-API-240", "OVMS-API-241", "OVMS-API-242", "OVMS-API-243", "OVMS-GST-020"],
    async run({ runtime, boot }) {
      const id = await boot()
      const attachment = randomUUID()
      const path = `/instances/${id}/input`
      const typed = { query: `attachment=${attachment}`, body: utf8("hello-suite\r") }
      const operation = "POST /instances/{instance_id}/input"
      await runtime.refused(operation, "OVM_STATE_CONFLICT", id, typed)
      let sent = false
      const attached = runtime.raw("GET", `/instances/${id}/attach`, {
        query: `attachment=${attachment}`,
        onData: (text) => {
          if (!sent) {
            sent = true
            answered = typing()
          }
          return /hello-suite/.test(text)
        },
      })
      let answered: Promise<void> = Promise.resolve()
      const typing = async () => {
        const query = `attachment=${randomUUID()}`
        await runtime.refused("GET /instances/{instance_id}/attach", "OVM_STATE_CONFLICT", id, { query })
        const { status } = await runtime.raw("POST", path, typed)
        must(status === 204, `input was answered with ${status}`)
      }
      await attached
      await answered
    },
  },
  {
    name: "events",
    covers: ["OVMS-API-230", "OVMS-API-231", "OVMS-API-232", "OVMS-API-235"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=3 off=1")
      await runtime.reaches(id, "stopped")
      await runtime.ask("DELETE /instances/{instance_id}", id)
      const own = (await events(runtime)).filter(({ instance_id }) => instance_id === id)
      const types = own.map(({ type }) => type).filter((type) => type !== "stopping")
      must(types.join() === "starting,running,stopped,removed", `the events are ${types.join(", ")}`)
      must(own.find(({ type }) => type === "stopped")?.exit, "the event of its end has no exit")
      const ids = (await events(runtime)).map(({ id }) => id)
      must(new Set(ids).size === ids.length, "two events have one id")
      const times = own.map(({ time }) => Date.parse(time))
      must(
        times.every((time, at) => time >= (times[at - 1] ?? 0)),
        `the times go back: ${times.join(", ")}`,
      )
      const after = (await events(runtime, `after=${encodeURIComponent(own[1]?.id ?? "")}`))
        .filter(({ instance_id }) => instance_id === id)
        .map(({ type }) => type)
      must(
        !after.includes("starting") && after.includes("removed"),
        `after the second they are ${after.join(", ")}`,
      )
      const [first] = await events(runtime, "after=nothing-like-it")
      must(first?.type === "lost", "an ID that is not known is not answered with lost")
    },
  },
  {
    name: "follows-events",
    covers: ["OVMS-API-230", "OVMS-API-231"],
    async run({ runtime, create }) {
      let made: Promise<string> | undefined
      let id: string | undefined
      const remove = async (one: string) => {
        await runtime.ask("DELETE /instances/{instance_id}", one)
        return one
      }
      const first = await remove(await create())
      const { text } = await runtime.raw("GET", "/events", {
        query: "follow=true",
        // Told of what is kept, it does what it has to be told of next.
        onData: (told) => {
          if (!told.includes(first)) return false
          made ??= create().then((other) => {
            id = other
            return remove(other)
          })
          made.catch(() => {})
          return id !== undefined && told.includes(id)
        },
      })
      must(made !== undefined, "what is kept is not told when it is followed")
      must(text.includes(await made), "the stream of what comes ended, and did not tell of it")
    },
  },
  {
    name: "metrics",
    covers: ["OVMS-API-220"],
    async run({ runtime, boot }) {
      const id = await boot()
      const text = await runtime.ask<string>("GET /metrics")
      must(/^ovm_instances\{state="running"\} [1-9]/m.test(text), "ovm_instances does not count what runs")
      must(/^ovm_instances_limit \d+/m.test(text), "there is no ovm_instances_limit")
      must(
        new RegExp(`^ovm_instance_memory_bytes\\{.*${id}.*\\} 33554432$`, "m").test(text),
        "the memory is missing",
      )
      for (const name of ["ovm_instance_resident_bytes", "ovm_instance_cpu_seconds_total"])
        must(new RegExp(`^${name}\\{.*${id}.*\\} \\d`, "m").test(text), `there is no ${name} of what runs`)
    },
  },
]
