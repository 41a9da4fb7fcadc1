import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../../check.ts"
import { pathsBelow } from "../../subject/below.ts"
import { signal } from "../../subject/processes.ts"
import type { Instance } from "../../subject/runtime.ts"
import { unique } from "../unique.ts"
import type { Plan, Scene } from "./plan.ts"
import { processesOf } from "./unreachable.ts"

const LINE = "console=ttyS0 tick_ms=100 tpm=1"

/** The processes of an instance that are of its TPM, by what they were called with. */
async function emulators(id: string): Promise<number[]> {
  const pids = await processesOf(id)
  const called = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/comm`, "latin1").catch(() => "")))
  return pids.filter((_, at) => called[at]?.includes("tpm"))
}

/** How often its TPM was started since that is there, as the guest reads it. */
async function resets({ runtime }: Scene, id: string): Promise<number> {
  const [, count] = /TPM \d+ resets (\d+)\r?\n/.exec(await runtime.says(id, /TPM [^\n]*\n/)) ?? []
  must(count !== undefined, "the guest finds no TPM that answers")
  return Number(count)
}

export const tpmPlans: readonly Plan[] = [
  {
    name: "tpm",
    profile: "uefi",
    covers: ["OVMS-UEF-030", "OVMS-UEF-031", "OVMS-UEF-032", "OVMS-UEF-033", "OVMS-UEF-034", "OVMS-UEF-035"],
    async run(scene) {
      const { runtime, start, machine, keep } = scene
      const metadata = { platform: { arch: "x86_64", tpm: true } }
      const manifest = await machine({ diskless: false, document: { metadata } })
      const overrides = { args: LINE }
      const reply = await runtime.raw("POST", "/start", { body: { manifest, overrides } })
      if (reply.status >= 400) {
        const said = reply.text
        must(
          said.includes("OVM_UNSUPPORTED") && said.includes("/metadata/platform/tpm"),
          `refused with ${said}`,
        )
        return skip("the runtime has no TPM for machines on this host")
      }
      const id = keep(JSON.parse(reply.text).instance_id)
      const first = await resets(scene, id)
      for (const { path, mode } of runtime.harness ? await files(runtime.harness.home, id) : [])
        must((mode & 0o007) === 0, `others can read ${path}: its mode is ${mode.toString(8)}`)
      const snapshot = { body: { instance_id: id, tag: "suite-tpm" } }
      await runtime.refused("POST /snapshot", "OVM_UNSUPPORTED", "", snapshot)
      await runtime.refused("POST /instances/{instance_id}/fork", "OVM_UNSUPPORTED", id, { body: {} })
      const standby = { manifest, overrides: { ...overrides, standbyAfter: 1000 } }
      await runtime.refused("POST /start", "OVM_UNSUPPORTED", "", { body: standby })
      await runtime.ask("POST /instances/{instance_id}/restart", id, { query: "grace_ms=0" })
      await runtime.until("it is booted again", async () => (await resets(scene, id)) === first + 1)
      const other = await start({ manifest, overrides })
      must((await resets(scene, other)) === first, "another machine has the TPM of the first")
      const ended = await emulators(id)
      signal(ended, "SIGKILL")
      if (ended.length > 0)
        await runtime.until("degraded has tpm", async () => {
          const { degraded } = (await runtime.status(id)) as Instance & { degraded?: readonly string[] }
          return degraded?.includes("tpm")
        })
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const name = `localhost/conformance:${unique()}`
      await runtime.ask("POST /instances/{instance_id}/commit", id, { body: { name } })
      const committed = await start({ manifest: name, overrides })
      must((await resets(scene, committed)) === first, "a machine of an image has the TPM of another one")
    },
  },
]

/** Every file below the folders of an instance, and its mode. */
async function files(home: string, id: string): Promise<{ path: string; mode: number }[]> {
  const found = []
  for (const name of await pathsBelow(home)) {
    if (!name.includes(id)) continue
    const stats = await stat(join(home, name)).catch(() => undefined)
    if (stats?.isFile()) found.push({ path: name, mode: stats.mode & 0o777 })
  }
  return found
}
