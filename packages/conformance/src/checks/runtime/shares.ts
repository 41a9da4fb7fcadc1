import { mkdir, symlink, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { type Plan, refusedCreate } from "./plan.ts"

type Sharing = Instance & {
  readonly shares?: readonly {
    readonly name?: string
    readonly source: string
    readonly read_only: boolean
  }[]
}

const sharing = (manifest: string, shares: readonly object[], more: object = {}) => ({
  manifest,
  overrides: { shares, ...more },
})

export const sharePlans: readonly Plan[] = [
  {
    name: "shares/refused-folders",
    covers: ["OVMS-SHR-002", "OVMS-SHR-003", "OVMS-SHR-004", "OVMS-SHR-005"],
    async run({ runtime, folder }) {
      const file = join(folder, "file")
      await writeFile(file, "no folder")
      const cases: (readonly [source: string, code: RegExp])[] = [
        [join(folder, "missing"), /^OVM_(FILE_UNREADABLE|PERMISSION_DENIED)$/],
        [file, /^OVM_UNSUPPORTED$/],
      ]
      if (runtime.harness) {
        const { home } = runtime.harness
        const [link, within] = [join(folder, "link"), join(home, "instances")]
        await symlink(home, link)
        await mkdir(within, { recursive: true, mode: 0o700 })
        for (const own of [home, within, dirname(home), link]) cases.push([own, /^OVM_REQUEST_INVALID$/])
      }
      for (const [source, code] of cases) {
        const body = sharing(runtime.guest, [{ source, target: "/src" }])
        const { message } = await refusedCreate(runtime, code, body)
        must(message.includes(source), `the refusal of ${source} does not name it: ${message}`)
      }
      const one = { source: folder, target: "/src" }
      const body = sharing(runtime.guest, [one], { agent: false })
      await refusedCreate(runtime, "OVM_REQUEST_INVALID", body)
      for (const target of ["/src", "/src/"])
        await refusedCreate(runtime, "OVM_REQUEST_INVALID", sharing(runtime.guest, [one, { ...one, target }]))
    },
  },
  {
    name: "shares/of-a-manifest",
    covers: ["OVMS-SHR-031", "OVMS-SHR-032", "OVMS-SHR-033", "OVMS-SHR-034", "OVMS-MAN-146"],
    async run({ runtime, create, machine, folder }) {
      const shares = [
        { name: "code", target: "/srv/code", required: true, readOnly: true },
        { name: "cache", target: "/srv/cache", required: false },
      ]
      const manifest = await machine({ document: { shares } })
      const [code, cache] = [
        { source: folder, name: "code" },
        { source: folder, name: "cache" },
      ]
      const unknown = await refusedCreate(
        runtime,
        "OVM_REQUEST_INVALID",
        sharing(manifest, [code, { source: folder, name: "nonsense" }]),
      )
      for (const { name } of shares)
        must(
          unknown.message.includes(name),
          `the refusal does not name the share ${name}: ${unknown.message}`,
        )
      const missing = await refusedCreate(runtime, "OVM_REQUEST_INVALID", sharing(manifest, [cache]))
      must(
        missing.message.includes("code") && missing.message.includes("/srv/code"),
        `it does not name share and target: ${missing.message}`,
      )
      const shown = async (given: readonly object[]) =>
        ((await runtime.status(await create({ shares: given }, manifest))) as Sharing).shares ?? []
      const [one, ...more] = await shown([code])
      must(one?.name === "code" && one.source === folder, `shares is ${JSON.stringify(one)}`)
      must(more.length === 0, "a folder is given for a share that the start said none for")
      must(one.read_only === true, "a share that the manifest has as readOnly can be written to")
      const both = await shown([code, { ...cache, readOnly: true }])
      must(both[1]?.name === "cache" && both[1].read_only === true, `shares is ${JSON.stringify(both)}`)
    },
  },
]
