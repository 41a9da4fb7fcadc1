import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { must, skip } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { unique } from "../unique.ts"
import { apart } from "./aside.ts"
import { events } from "./events.ts"
import { harnessOf, type Plan } from "./plan.ts"
import { takePort } from "./take-port.ts"

const STOP = "POST /stop"
const START = "POST /instances/{instance_id}/start"
const RESTART = "POST /instances/{instance_id}/restart"

/** A line of the Prometheus text format, whose labels have nothing that is not escaped. */
const SAMPLE = /^[a-zA-Z_:][\w:]*(\{([a-zA-Z_]\w*="([^"\\\n]|\\["\\n])*",?)*\})? \S+( \d+)?$/

export const stopPlans: readonly Plan[] = [
  {
    name: "stop-that-hurries",
    covers: ["OVMS-API-041", "OVMS-API-043", "OVMS-API-046", "OVMS-API-141", "OVMS-API-165"],
    async run({ runtime, boot }) {
      const id = await boot()
      for (const grace of [{ grace_ms: 600_000 }, {}]) {
        const { status } = await runtime.ask<{ status: string }>(STOP, "", {
          body: { instance_id: id, ...grace },
        })
        must(
          status === "stopping",
          `the stop of a guest that hears no power button is answered with ${status}`,
        )
      }
      for (const operation of ["pause", "resume", "start"])
        await runtime.refused(`POST /instances/{instance_id}/${operation}`, "OVM_STATE_CONFLICT", id)
      must(
        (await runtime.status(id)).state === "stopping",
        "a guest that hears no power button is not stopping",
      )
      await runtime.ask(STOP, "", { body: { instance_id: id, grace_ms: 100 } })
      await runtime.reaches(id, "stopped")
    },
  },
  {
    name: "restart-called-off",
    covers: ["OVMS-API-168"],
    async run({ runtime, boot }) {
      const id = await boot()
      const restart = runtime.refused(RESTART, "OVM_STATE_CONFLICT", id, { query: "grace_ms=30000" })
      restart.catch(() => {})
      await runtime.until("it is stopping", async () => (await runtime.status(id)).state === "stopping")
      await runtime.ask(STOP, "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      await restart
      must(
        (await runtime.status(id)).state === "stopped",
        "it was started again although the restart was called off",
      )
    },
  },
  {
    name: "start-that-is-refused",
    covers: ["OVMS-API-164", "OVMS-API-255"],
    async run({ runtime, boot }) {
      const id = await boot("", { network: { mode: "user", ports: [{ guest: 80 }] } })
      const port = (await runtime.status(id)).network?.ports?.[0]?.host ?? 0
      await runtime.ask(STOP, "", { body: { instance_id: id, grace_ms: 0 } })
      const before = await runtime.reaches(id, "stopped")
      const taken = await runtime.until("its port is free once it has ended", () => takePort(port))
      try {
        await runtime.refused(START, "OVM_PORT_IN_USE", id)
        const after = await runtime.status(id)
        must(
          after.state === "stopped" && after.exit?.reason === before.exit?.reason,
          "a start that was refused changed the instance",
        )
        must(
          (await runtime.logs(id)).includes("GUEST-READY"),
          "a start that was refused took the console away",
        )
      } finally {
        await new Promise((resolve) => taken.close(resolve))
      }
      await runtime.ask(START, id)
      await runtime.reaches(id, "running")
    },
  },
  {
    name: "labels-of-metrics",
    covers: ["OVMS-API-221"],
    async run({ runtime, create, folder }) {
      const odd = join(folder, 'odd "name" \\ here')
      await mkdir(odd)
      const labels = { odd: 'a "b" \\ c' }
      await create({ labels }, await writeLayout(join(odd, "layout"), guestArtifact()))
      const text = await runtime.ask<string>("GET /metrics")
      for (const line of text.trim().split("\n"))
        must(
          line.startsWith("#") || line === "" || SAMPLE.test(line),
          `a line of the metrics is none: ${line.slice(0, 200)}`,
        )
    },
  },
  {
    name: "removed-when",
    covers: ["OVMS-STA-044", "OVMS-STA-045", "OVMS-STA-046"],
    waits: true,
    async run({ runtime, start, create }) {
      const name = unique()
      const overrides = { name, args: "console=ttyS0 tick_ms=50 ticks=1 off=1", autoRemove: true }
      const id = await start({ manifest: runtime.guest, overrides })
      const waits = await create({ autoRemove: true })
      await runtime.reaches(id, "stopped")
      const other = await create({ name })
      must((await runtime.status(other)).name === name, "the name of what is going to be removed is not free")
      must((await runtime.status(id)).name === id, "what is going to be removed is not called by its ID")
      await runtime.until(
        "it is removed",
        async () => (await runtime.raw("GET", `/status/${id}`)).status === 404,
      )
      const own = (await events(runtime)).filter(({ instance_id }) => instance_id === id)
      const at = (type: string) => Date.parse(own.find((event) => event.type === type)?.time ?? "")
      const seconds = (at("removed") - at("stopped")) / 1000
      must(seconds >= 5 && seconds <= 35, `it was removed ${seconds} s after its end`)
      must(
        (await runtime.status(waits)).state === "stopped",
        "what was made and never started is not there as it was",
      )
    },
  },
  apart({
    name: "end-that-nobody-saw",
    covers: ["OVMS-API-232", "OVMS-API-234", "OVMS-API-269"],
    waits: true,
    async run({ runtime, boot, signal }) {
      const harness = harnessOf(runtime)
      const stays = await boot("", { network: { mode: "user", ports: [{ guest: 80 }, { guest: 81 }] } })
      const ports = JSON.stringify((await runtime.status(stays)).network?.ports)
      let [id, ms] = ["", 0]
      // On a busy host it may have ended before the runtime has.
      for (const ticks of [40, 160]) {
        ;[id, ms] = [await boot(`ticks=${ticks} off=1`), ticks * 100]
        if ((await runtime.status(id)).state === "running") break
      }
      const told = await events(runtime)
      await harness.kill()
      await new Promise((resolve) => setTimeout(resolve, ms))
      await harness.start(signal)
      await runtime.reaches(id, "stopped", "failed")
      const ended = await runtime.until("its end is among the events", async () => {
        const all = await events(runtime)
        for (const event of all)
          must(
            told.every((one) => one.id !== event.id || isDeepStrictEqual(one, event)),
            `the id ${event.id} stands for another event than before the restart`,
          )
        return all.find(({ instance_id, type }) => instance_id === id && /stopped|failed/.test(type))
      })
      const [first] = await events(runtime, `after=${encodeURIComponent(told.at(-1)?.id ?? "")}`)
      must(
        first?.type === "lost",
        `behind an event of the run before the first one is ${first?.type}, and not lost`,
      )
      const { finished } = (await runtime.status(id)) as Instance & { finished?: string }
      must(
        finished === undefined || ended.finished !== undefined,
        "the event does not say when the machine ended",
      )
      const shown = JSON.stringify((await runtime.reaches(stays, "running")).network?.ports)
      must(shown === ports, `the ports of a machine that runs are ${shown}, and were ${ports}`)
    },
  }),
  {
    name: "quota-of-processors",
    covers: ["OVMS-API-291", "OVMS-API-292"],
    waits: true,
    async run({ runtime, boot, keep }) {
      const overrides = { cpuQuota: 0.3, args: "console=ttyS0 tick_ms=100 hlt=0" }
      const reply = await runtime.raw("POST", "/start", { body: { manifest: runtime.guest, overrides } })
      const plain = (await runtime.status(await boot())).resources as object
      must(!("cpu_quota" in plain), "cpu_quota is there although nothing is bounded")
      if (reply.status >= 400) {
        must(
          reply.text.includes("OVM_UNSUPPORTED") && reply.text.includes("cpuQuota"),
          `the refusal does not name cpuQuota: ${reply.text}`,
        )
        return skip("the runtime bounds no machine on this host: cpuQuota is refused")
      }
      const id = keep(JSON.parse(reply.text).instance_id)
      await runtime.says(id, /TICK 1\r?\n/)
      const used = async () => {
        const asked = performance.now()
        const { resources } = (await runtime.status(id)) as {
          resources: { cpu_quota?: number; cpu_time_ms?: number }
        }
        must(resources.cpu_quota === 0.3, `cpu_quota is ${resources.cpu_quota}`)
        return { cpu: resources.cpu_time_ms ?? 0, asked, answered: performance.now() }
      }
      const before = await used()
      await new Promise((resolve) => setTimeout(resolve, 3000))
      const after = await used()
      // When between question and answer it was looked at is not told: so much at least.
      const share = (after.cpu - before.cpu) / (after.answered - before.asked)
      must(share < 0.45, `it uses ${share.toFixed(2)} processors, and is to use 0.3`)
      await runtime.ask(RESTART, id, { query: "grace_ms=0" })
      await runtime.reaches(id, "running")
      await used()
    },
  },
]
