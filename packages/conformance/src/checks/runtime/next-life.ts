import { isDeepStrictEqual } from "node:util"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { eventsOf } from "./events.ts"
import type { Plan } from "./plan.ts"

/** What stays as it is from one life of an instance to the next. */
const LASTING = [
  "name",
  "labels",
  "created",
  "image",
  "restart",
  "auto_remove",
  "network",
  "disks",
  "volumes",
] as const

function lasts(before: Instance, after: Instance): void {
  for (const name of LASTING)
    must(
      isDeepStrictEqual(after[name], before[name]),
      `${name} was ${JSON.stringify(before[name])}, and is ${JSON.stringify(after[name])} in its next life`,
    )
}

export const nextLifePlans: readonly Plan[] = [
  {
    name: "started-again",
    covers: ["OVMS-API-163", "OVMS-API-166", "OVMS-API-182", "OVMS-API-381"],
    async run({ runtime, boot }) {
      const own = { labels: { role: "suite" }, restart: "on-failure:2" }
      const overrides = { memory: 64 << 20, vcpus: 2, network: { mode: "none" }, ...own }
      const id = await boot("ticks=5 off=1 word=again", overrides)
      must((await runtime.logs(id, "previous=true")) === "", "there is a console of a life before the first")
      const first = await runtime.reaches(id, "stopped")
      await runtime.ask("POST /instances/{instance_id}/start", id)
      // By the answer: whoever follows the console then is to see the new life's.
      const previous = await runtime.logs(id, "previous=true")
      must(previous.includes("GUEST-OFF"), "the console of the life before is not there with previous=true")
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      const text = await runtime.says(id, /CMDLINE \[.*word=again.*\]/)
      const kib = Number(/ram_kib=(\d+)/.exec(text)?.[1])
      must(
        kib > 60 * 1024 && kib <= 64 * 1024,
        `started again the guest finds ${kib} KiB of RAM, and not 64 MiB`,
      )
      const now = await runtime.status(id)
      const { resources } = now
      must(
        resources.memory === 64 << 20 && resources.vcpus === 2,
        `started again it has ${resources.vcpus} vCPUs and ${resources.memory} bytes, and not 2 and 64 MiB`,
      )
      lasts(first, now)
      must(text.split("GUEST-READY").length === 2, "the console did not begin anew")
    },
  },
  {
    name: "created-then-started",
    covers: ["OVMS-API-163", "OVMS-API-170", "OVMS-API-184", "OVMS-API-258", "OVMS-API-381"],
    async run({ runtime, keep, machine }) {
      const disk = { diskless: false }
      const manifest = `${await machine(disk, "1.0")}:1.0`
      const network = { mode: "user", outbound: false, ports: [{ guest: 80 }] }
      const overrides = { labels: { role: "suite" }, autoRemove: true, readOnly: true, network }
      const body = { manifest, overrides }
      const made = await runtime.ask<{ instance_id: string; status: string }>("POST /instances", "", { body })
      const id = keep(made.instance_id)
      must(made.status === "stopped", `what was made was answered with ${made.status}`)
      const before = await runtime.status(id)
      const { state, ...info } = before
      must(state === "stopped", `what was made is ${state}`)
      for (const name of ["exit", "started", "finished"] as const)
        must(info[name] === undefined, `${name} is there although it was never started`)
      const told = await eventsOf(runtime, id)
      const types = told.map(({ type }) => type).join()
      must(types === "starting,stopped" && !told.some(({ exit }) => exit), `its events are ${types}`)
      // The name stands for another machine by now.
      const other = guestArtifact(undefined, { document: { name: "another" } })
      await writeLayout(manifest.slice(0, -":1.0".length), other, "1.0")
      await runtime.ask("POST /instances/{instance_id}/start", id)
      await runtime.says(id, /GUEST-READY/)
      lasts(before, await runtime.reaches(id, "running"))
    },
  },
]
