import { randomUUID } from "node:crypto"
import { GUEST_MEMORY } from "../../artifact/guest.ts"
import { must } from "../../check.ts"
import { hex, utf8 } from "../../registry/content.ts"
import { isOfType, satisfies } from "../../subject/answers.ts"
import { events } from "./events.ts"
import type { Plan } from "./plan.ts"

/** A line of which some is no UTF-8. */
const TYPED = Buffer.concat([utf8("hello-suite "), hex("80fffec328"), utf8("\r")])

const STATES = ["starting", "running", "paused", "stopping", "stopped", "failed"]

const TYPES = [
  ["gauge", "instances"],
  ["gauge", "instances_limit"],
  ["gauge", "instance_memory_bytes"],
  ["gauge", "instance_resident_bytes"],
  ["counter", "instance_cpu_seconds_total"],
] as const

export const streamPlans: readonly Plan[] = [
  {
    name: "logs-follow",
    covers: ["OVMS-API-071"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=25 off=1")
      // More lines than some would take for enough.
      await runtime.says(id, /TICK 12\r?\n/)
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
    covers: ["OVMS-API-070", "OVMS-API-072", "OVMS-API-074"],
    async run({ runtime, boot }) {
      const id = await boot("ticks=3 off=1")
      await runtime.reaches(id, "stopped")
      const all = await runtime.logs(id)
      const lines = all.split("\n")
      const count = all.endsWith("\n") ? 3 : 2
      const wanted = lines.slice(-count).join("\n")
      for (const query of ["tail=2", "follow=true&tail=2"])
        must((await runtime.logs(id, query)) === wanted, `${query} is not the last two lines`)
      must((await runtime.logs(id, "tail=0")) === "", "tail=0 is something")
      const reply = await runtime.raw("GET", `/logs/${id}`, {
        query: "tail=2",
        headers: { accept: "application/x-ndjson" },
      })
      must(reply.text.trim().split("\n").length === 2, `tail=2 by line is ${reply.text.slice(0, 300)}`)
      const accepted = ["text/plain", "*/*", "application/*", "application/json"]
      for (const headers of [{}, ...accepted.map((accept) => ({ accept }))])
        isOfType(
          await runtime.raw("GET", `/logs/${id}`, { headers }),
          "application/octet-stream",
          "GET /logs",
        )
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
      const reply = await runtime.raw("GET", `/logs/${id}`, { headers })
      isOfType(reply, headers.accept, "GET /logs")
      const { text } = reply
      const lines = text
        .trim()
        .split("\n")
        .map((line): { time: string; text: string } => JSON.parse(line))
      for (const line of lines) satisfies("LogLine", line, "GET /logs as ndjson")
      const trimmed = (all: readonly string[]) =>
        all
          .map((line) => line.trim())
          .join("\n")
          .trim()
      const wanted = trimmed((await runtime.logs(id)).split("\n"))
      must(trimmed(lines.map((line) => line.text)) === wanted, "the lines are not those that the guest wrote")
      // When its lines came is not known of every console: then it may be when it was asked.
      const { created } = await runtime.status(id)
      const times = lines.map(({ time }) => Date.parse(time))
      must(
        times.every((time, at) => time >= (times[at - 1] ?? Date.parse(created) - 1000)),
        `the lines came at ${lines.map(({ time }) => time).join(", ")}, and it was made at ${created}`,
      )
    },
  },
  {
    name: "input",
    covers: ["OVMS-API-240", "OVMS-API-241", "OVMS-API-242", "OVMS-API-243", "OVMS-API-502", "OVMS-GST-020"],
    async run({ runtime, boot, create }) {
      const id = await boot()
      const attachment = randomUUID()
      const path = `/instances/${id}/input`
      const typed = { query: `attachment=${attachment}`, body: TYPED }
      const operation = "POST /instances/{instance_id}/input"
      await runtime.refused(operation, "OVM_STATE_CONFLICT", id, typed)
      let sent = false
      await runtime.says(id, /TICK 3\r?\n/)
      const attached = runtime.raw("GET", `/instances/${id}/attach`, {
        query: `attachment=${attachment}&tail=1`,
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
        const others = { query, body: utf8("intruder\r") }
        await runtime.refused(operation, "OVM_STATE_CONFLICT", id, others)
        const large = { query: `attachment=${attachment}&window=65536x1`, body: utf8("") }
        await runtime.refused(operation, "OVM_REQUEST_INVALID", id, large)
        const { status } = await runtime.raw("POST", path, typed)
        must(status === 204, `input was answered with ${status}`)
      }
      const { text } = await attached
      await answered
      const echo = Buffer.concat([utf8("ECHO ["), TYPED.subarray(0, -1), utf8("]")])
      await runtime.until(
        "the guest says again the very bytes that were typed",
        async () => (await runtime.raw("GET", `/logs/${id}`)).bytes.includes(echo),
        10_000,
      )
      must(!text.includes("GUEST-READY"), "with tail=1 it is told what the guest said first")
      must(
        !(await runtime.logs(id)).includes("intruder"),
        "the guest has read what nobody who is attached typed",
      )
      await runtime.until("nobody is attached any more", async () => {
        const { status } = await runtime.raw("POST", path, typed)
        return status === 409
      })
      const attach = "GET /instances/{instance_id}/attach"
      await runtime.refused(attach, "OVM_STATE_CONFLICT", await create(), {
        query: `attachment=${attachment}`,
      })
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
      const { name } = own[0] ?? {}
      must(name && own.every((one) => one.name === name), "not each event has the name of its instance")
      const second = own[1]?.id ?? ""
      const behind = [
        await events(runtime, `after=${encodeURIComponent(second)}`),
        await events(runtime, undefined, { "last-event-id": second }),
      ]
      for (const all of behind) {
        const after = all.filter(({ instance_id }) => instance_id === id).map(({ type }) => type)
        must(
          after.filter((type) => type !== "stopping").join() === "stopped,removed",
          `behind the second there are ${after.join(", ")}`,
        )
      }
      const [first, next] = await events(runtime, "after=nothing-like-it")
      must(first?.type === "lost", "an ID that is not known is not answered with lost")
      const [lost, then] = [Date.parse(first.time), Date.parse(next?.time ?? "")]
      must(lost <= then, `what is lost is told as of ${first.time}, behind ${next?.time}`)
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
    name: "many-events",
    covers: ["OVMS-API-231"],
    async run({ runtime, create }) {
      const id = await create({ network: { mode: "user" } })
      for (let pair = 0; pair < 130; pair++) {
        const body = { guest: 80 }
        const { host } = await runtime.ask<{ host: number }>("POST /instances/{instance_id}/ports", id, {
          body,
        })
        await runtime.ask("DELETE /instances/{instance_id}/ports", id, { query: `host=${host}` })
      }
      const own = (await events(runtime)).filter(({ instance_id }) => instance_id === id)
      must(own.length === 262, `of 262 events of an instance ${own.length} are kept`)
    },
  },
  {
    name: "metrics",
    covers: ["OVMS-API-220"],
    async run({ runtime, boot, create }) {
      const id = await boot()
      await create()
      const reply = await runtime.raw("GET", "/metrics")
      isOfType(reply, "text/plain", "GET /metrics")
      const { text } = reply
      must(/^ovm_instances\{state="running"\} [1-9]/m.test(text), "ovm_instances does not count what runs")
      must(
        /^ovm_instances\{state="stopped"\} [1-9]/m.test(text),
        "ovm_instances does not count what has ended",
      )
      const { instances } = await runtime.ask<{ instances: { limit: number } }>("GET /info")
      const [, limit] = /^ovm_instances_limit (\S+)$/m.exec(text) ?? []
      must(
        Number(limit) === instances.limit,
        `ovm_instances_limit is ${limit}, and the limit ${instances.limit}`,
      )
      for (const [type, name] of TYPES)
        must(text.includes(`# TYPE ovm_${name} ${type}\n`), `ovm_${name} is not said to be a ${type}`)
      const labels = `instance_id="${id}",name="${(await runtime.status(id)).name}"`
      must(text.includes(labels), `no sample has the labels ${labels}`)
      for (const state of STATES)
        must(
          new RegExp(`^ovm_instances\\{state="${state}"\\} \\d+$`, "m").test(text),
          `no ${state} are counted`,
        )
      const value = (name: string) => {
        const [, number] = new RegExp(`^ovm_instance_${name}\\{.*${id}.*\\} (\\S+)`, "m").exec(text) ?? []
        must(number !== undefined, `there is no ovm_instance_${name} of what runs`)
        return Number(number)
      }
      must(value("memory_bytes") === GUEST_MEMORY, "the memory is another")
      const { rss = 0, cpu_time_ms = 0 } = (await runtime.status(id)).resources
      const resident = value("resident_bytes")
      must(
        resident > rss / 2 && resident < rss * 2,
        `${resident} bytes are resident, and of its status ${rss}`,
      )
      const seconds = value("cpu_seconds_total")
      must(
        seconds > 0 && seconds <= cpu_time_ms / 1000,
        `it took ${seconds} s, and of its status ${cpu_time_ms} ms`,
      )
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const later = await runtime.ask<string>("GET /metrics")
      must(!later.includes(id), "a machine that has ended is among those that have not")
    },
  },
]
