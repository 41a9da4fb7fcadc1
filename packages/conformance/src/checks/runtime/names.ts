import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import { unique } from "../unique.ts"
import { eventsOf } from "./events.ts"
import { type Plan, refusedCreate } from "./plan.ts"

const LONGEST_NAME = 63
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/

interface Listed {
  readonly name: string
  readonly instances: readonly { readonly instance_id: string; readonly in_use: boolean }[]
}

export const namePlans: readonly Plan[] = [
  {
    name: "name-in-use",
    covers: ["OVMS-API-031", "OVMS-ERR-005"],
    async run({ runtime, create }) {
      const name = unique()
      const id = await create({ name })
      must((await runtime.status(id)).name === name, "the instance does not have the name of its start")
      const body = { manifest: runtime.guest, overrides: { name } }
      const { message } = await runtime.refused("POST /start", "OVM_NAME_IN_USE", "", { body })
      must(message.includes(name), `the message does not name ${name}: ${message}`)
      const others = [name.toUpperCase(), name.padEnd(LONGEST_NAME, "x")]
      for (const other of others)
        must(
          (await runtime.status(await create({ name: other }))).name === other,
          `it is not called ${other}`,
        )
      await refusedCreate(runtime, "OVM_REQUEST_INVALID", {
        manifest: runtime.guest,
        overrides: { name: name.padEnd(LONGEST_NAME + 1, "x") },
      })
    },
  },
  {
    name: "names-made-up",
    covers: ["OVMS-API-031"],
    async run({ runtime, create, folder }) {
      const [first, second] = [await runtime.status(await create()), await runtime.status(await create())]
      must(first.name !== second.name, `two instances have the name ${first.name}`)
      const odd = join(folder, "a folder's näme, ".repeat(8))
      const { name } = await runtime.status(await create({}, await writeLayout(odd, guestArtifact())))
      must(NAME.test(name), `the name that was made up is ${name}`)
    },
  },
  {
    name: "rename",
    covers: ["OVMS-API-173", "OVMS-API-174", "OVMS-API-230"],
    async run({ runtime, create }) {
      const [name, other] = [unique(), unique()]
      const id = await create({ name })
      await create({ name: other })
      const operation = "POST /instances/{instance_id}/rename"
      await runtime.refused(operation, "OVM_NAME_IN_USE", id, { body: { name: other } })
      const next = unique()
      for (let twice = 0; twice < 2; twice++) await runtime.ask(operation, id, { body: { name: next } })
      must((await runtime.status(id)).name === next, "it has another name than it was given")
      must((await runtime.status(await create({ name }))).name === name, "the name that it had is not free")
      const gone = await create()
      await runtime.ask(operation, gone, { body: { name: `${next}-gone` } })
      await runtime.ask("DELETE /instances/{instance_id}", gone)
      const told = (await eventsOf(runtime, gone)).at(-1)
      must(told?.name === `${next}-gone`, `its last event calls it ${told?.name}, and not by its new name`)
      const body = { manifest: runtime.guest, overrides: { name: next } }
      await runtime.refused("POST /start", "OVM_NAME_IN_USE", "", { body })
    },
  },
  {
    name: "labels",
    covers: ["OVMS-API-380", "OVMS-API-381"],
    async run({ runtime, create }) {
      const labels = { "Example.com/Role": "Suite", empty: "" }
      const with_ = await runtime.status(await create({ labels }))
      must(isDeepStrictEqual(with_.labels, labels), `the labels are ${JSON.stringify(with_.labels)}`)
      must((await runtime.status(await create())).labels === undefined, "labels are there that nobody gave")
      const many = (count: number) =>
        Object.fromEntries(Array.from({ length: count }, (_, at) => [`${at}`.padEnd(128, "x"), `${at}`]))
      const most = (await runtime.status(await create({ labels: many(64) }))).labels
      must(isDeepStrictEqual(most, many(64)), "64 labels whose names have 128 characters are not those given")
      for (const wrong of [many(65), { ["x".repeat(129)]: "" }, { x: "x".repeat(4097) }])
        await refusedCreate(runtime, "OVM_REQUEST_INVALID", {
          manifest: runtime.guest,
          overrides: { labels: wrong },
        })
    },
  },
  {
    name: "unknown-vmm",
    covers: ["OVMS-API-035"],
    async run({ runtime }) {
      const body = { manifest: runtime.guest, overrides: { vmm: "no-such-vmm" } }
      await runtime.refused("POST /start", /^OVM_(?!INTERNAL)/, "", { body })
    },
  },
  {
    name: "auto-remove",
    covers: ["OVMS-API-183", "OVMS-STA-044"],
    waits: true,
    async run({ runtime, start }) {
      const overrides = { args: "console=ttyS0 tick_ms=100 ticks=2 off=1", autoRemove: true }
      const id = await start({ manifest: runtime.guest, overrides })
      await runtime.until("the instance is removed", async () => {
        const { status } = await runtime.raw("GET", `/status/${id}`)
        return status === 404
      })
      const both = { ...overrides, restart: "always" }
      const body = { manifest: runtime.guest, overrides: both }
      await runtime.refused("POST /start", "OVM_REQUEST_INVALID", "", { body })
    },
  },
  {
    name: "volumes",
    covers: ["OVMS-VOL-001", "OVMS-VOL-002", "OVMS-VOL-003", "OVMS-VOL-004", "OVMS-VOL-007"],
    async run({ runtime, create, machine: layout }) {
      const name = unique()
      const body = { name, size: (64 << 20) + 512 }
      const made = await runtime.ask<{ size: number; used: number }>("POST /volumes", "", { body })
      must(made.used < 1 << 20, `a new volume takes ${made.used} bytes of the host`)
      try {
        await runtime.refused("POST /volumes", "OVM_NAME_IN_USE", "", { body })
        const { volumes: all } = await runtime.ask<{ volumes: { name: string; size: number }[] }>(
          "GET /volumes",
        )
        const { size } = all.find((one) => one.name === name) ?? {}
        must(size === body.size, `the volume that was made has ${size} bytes, and not ${body.size}`)
        await runtime.refused("DELETE /volumes/{name}", "OVM_VOLUME_UNKNOWN", unique())
        const twice = { volumes: [{ name }, { name, readOnly: true }] }
        await refusedCreate(runtime, "OVM_REQUEST_INVALID", { manifest: runtime.guest, overrides: twice })
        const machine = (volume: string) => ({
          manifest: runtime.guest,
          overrides: { volumes: [{ name: volume }] },
        })
        await runtime.refused("POST /start", "OVM_VOLUME_UNKNOWN", "", { body: machine(unique()) })
        const named = (disk: string) => ({
          document: { disks: [{ name: disk, size: 1 << 20 }] },
          diskless: false,
        })
        await refusedCreate(runtime, "OVM_REQUEST_INVALID", {
          manifest: await layout(named(name.slice(0, 20))),
          overrides: { volumes: [{ name }] },
        })
        const id = await create({ volumes: [{ name }] })
        const { volumes: listed } = await runtime.ask<{ volumes: readonly Listed[] }>("GET /volumes")
        const [user] = listed.find((one) => one.name === name)?.instances ?? []
        must(
          user?.instance_id === id && !user.in_use,
          `what was never started has it: ${JSON.stringify(user)}`,
        )
        await runtime.refused("DELETE /volumes/{name}", "OVM_VOLUME_IN_USE", name)
      } finally {
        const { instances } = await runtime.ask<{
          instances: { instance_id: string; volumes?: { name: string }[] }[]
        }>("GET /instances")
        for (const { instance_id, volumes } of instances)
          if (volumes?.some((one) => one.name === name))
            await runtime.ask("DELETE /instances/{instance_id}", instance_id)
        await runtime.ask("DELETE /volumes/{name}", name)
      }
    },
  },
]
