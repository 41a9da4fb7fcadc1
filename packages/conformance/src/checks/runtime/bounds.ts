import { readFile } from "node:fs/promises"
import { must } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import { processesWith } from "../../subject/processes.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { ticks } from "../ticks.ts"
import { aside } from "./aside.ts"
import { type Plan, refusedCreate, type Scene } from "./plan.ts"

// What an operator bounds: runtimes of their own that were given other limits (OVMS-CNF-039).

const MIB = 1 << 20
const START = "POST /start"

/** A runtime with these limits as long as `use` takes; skips where it cannot be given them. */
function limited(
  scene: Scene,
  limits: Readonly<Record<string, number>>,
  use: (scene: Scene) => Promise<void>,
): Promise<void> {
  const words = Object.entries(limits).map(([name, number]) => `${name}=${number}`)
  return aside(scene, use, { OVMS_CONFORMANCE_LIMITS: words.join(",") })
}

/** Fails unless the refusal of more than there may be names what there is too much of. */
async function tooMuch({ runtime }: Scene, manifest: string, overrides: object, what: string) {
  const { message } = await refusedCreate(runtime, "OVM_UNSUPPORTED", { manifest, overrides })
  must(message.includes(what), `the refusal does not name ${what}: ${message}`)
}

/** Fails unless GET /info counts so. */
async function counts(runtime: Runtime, wanted: object) {
  const { instances } = await runtime.ask<{ instances: object }>("GET /info")
  for (const [name, count] of Object.entries(wanted)) {
    const found = (instances as Record<string, number>)[name]
    must(found === count, `${name} of instances is ${found} in GET /info, and not ${count}`)
  }
}

export const boundPlans: readonly Plan[] = [
  {
    name: "bounds/machines",
    covers: ["OVMS-CNF-039", "OVMS-LIM-011", "OVMS-API-534"],
    run: (whole) =>
      limited(whole, { running: 1, instances: 3 }, async ({ runtime, boot }) => {
        const body = { manifest: runtime.guest }
        const id = await boot()
        const made = await runtime.ask<{ instance_id: string }>("POST /instances", "", { body })
        await runtime.refused(START, "OVM_TOO_MANY", "", { body })
        const start = "POST /instances/{instance_id}/start"
        await runtime.refused(start, "OVM_TOO_MANY", made.instance_id)
        await runtime.ask("POST /instances", "", { body })
        await refusedCreate(runtime, "OVM_TOO_MANY", body)
        await counts(runtime, { total: 3, running: 1, limit: 1 })
        await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
        await counts(runtime, { total: 2, running: 0, limit: 1 })
        await runtime.ask("POST /instances", "", { body })
      }),
  },
  {
    name: "bounds/console",
    covers: ["OVMS-LIM-012"],
    run: (whole) =>
      limited(whole, { console: 8192 }, async ({ runtime, start }) => {
        const args = "console=ttyS0 tick_ms=1"
        const id = await start({ manifest: runtime.guest, overrides: { args } })
        await runtime.until("more was said than is kept", async () => ticks(await runtime.logs(id)) > 1500)
        const text = await runtime.logs(id)
        must(text.length <= 2 * 8192, `of a console whose bound is 8192 bytes ${text.length} are kept`)
        must(!text.includes("GUEST-READY"), "what was said first is kept, and not the newest")
        must(text.length >= 4096, `of a console whose bound is 8192 bytes only ${text.length} are kept`)
      }),
  },
  {
    name: "bounds/resources",
    covers: ["OVMS-LIM-024"],
    run: (whole) =>
      limited(whole, { vcpus: 2, memory: 64 * MIB }, async (scene) => {
        const { runtime, machine } = scene
        await tooMuch(scene, runtime.guest, { vcpus: 3 }, "vcpus")
        await tooMuch(scene, runtime.guest, { memory: 65 * MIB }, "memory")
        const large = await machine({ document: { resources: { vcpus: 4, memory: 32 * MIB } } })
        await tooMuch(scene, large, {}, "vcpus")
        const body = { manifest: await machine({ document: { resources: undefined } }) }
        const { instance_id } = await runtime.ask<{ instance_id: string }>("POST /instances", "", { body })
        const { memory = 0, vcpus = 0 } = (await runtime.status(instance_id)).resources
        must(memory <= 64 * MIB && vcpus <= 2, `one that says nothing gets ${vcpus} vCPUs, ${memory} bytes`)
      }),
  },
  {
    name: "bounds/processes",
    covers: ["OVMS-LIM-025"],
    run: (whole) =>
      limited(whole, { processes: 64 }, async ({ runtime }) => {
        const reply = await runtime.raw("POST", "/start", { body: { manifest: runtime.guest } })
        if (reply.status >= 400) {
          const { code, message } = errorOf(START, reply)
          must(code === "OVM_UNSUPPORTED", `it is refused with ${code}: ${message}`)
          must(/pid|process/i.test(message), `the refusal names no setting: ${message}`)
          return
        }
        const { instance_id } = JSON.parse(reply.text)
        await runtime.reaches(instance_id, "running")
        const bounds = await Promise.all(processesWith(instance_id).map(boundOf))
        must(bounds.includes("64"), `the VMM may have ${bounds.join(", ") || "any number of"} processes`)
      }),
  },
]

/** `pids.max` of the control group of a process, in version 1 or 2; empty where there is none. */
async function boundOf(pid: number): Promise<string> {
  const groups = await readFile(`/proc/${pid}/cgroup`, "latin1").catch(() => "")
  for (const line of groups.split("\n")) {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    const root = controllers === "" ? "" : "/pids"
    if (controllers !== "" && controllers !== "pids") continue
    const text = await readFile(`/sys/fs/cgroup${root}${path}/pids.max`, "latin1").catch(() => "")
    if (text.trim()) return text.trim()
  }
  return ""
}
