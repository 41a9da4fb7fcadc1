import { randomUUID } from "node:crypto"
import { readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import type { Plan, Scene } from "../runtime/plan.ts"
import { ticks } from "../ticks.ts"
import { type Backstage, NAME, withAdapter } from "./enabled.ts"

// What a runtime does with an adapter, which is the suite's.

type OnVmm = Instance & { readonly vmm?: { readonly name: string } }

const onIt = { vmm: NAME, network: { mode: "none" } }

/** A machine of the suite's VMM, once it counts. */
async function running({ runtime, start }: Backstage): Promise<string> {
  const id = await start({ manifest: runtime.guest, overrides: onIt })
  await runtime.says(id, /TICK 1\r?\n/)
  await runtime.reaches(id, "running")
  return id
}

/** The code and words with which a start fails, at once or later. */
async function failed({ runtime }: Scene): Promise<{ code: string; message: string }> {
  const reply = await runtime.raw("POST", "/start", {
    body: { manifest: runtime.guest, overrides: onIt },
  })
  const answer = JSON.parse(reply.text)
  if (reply.status >= 400) return answer.errors[0]
  const { error } = await runtime.reaches(answer.instance_id, "failed")
  return error ?? { code: "", message: "" }
}

export const runtimeAdapterPlans: readonly Plan[] = [
  {
    name: "adapter/not-enabled",
    covers: ["OVMS-ADP-002"],
    run: (whole) =>
      withAdapter(
        whole,
        async ({ runtime, start, machine, adapter }) => {
          const body = { manifest: runtime.guest, overrides: onIt }
          await runtime.refused("POST /start", /^OVM_(UNSUPPORTED|VMM_MISSING)$/, "", { body })
          const runtimeHints = { preferredRuntime: [NAME] }
          const id = await start({ manifest: await machine({ document: { runtimeHints } }) })
          await runtime.says(id, /TICK 1\r?\n/)
          must((await adapter.begun()).length === 0, "an adapter that nobody has enabled was executed")
        },
        { enabled: false },
      ),
  },
  {
    name: "adapter/machine",
    covers: ["OVMS-ADP-033", "OVMS-ADP-003", "OVMS-API-050", "OVMS-CNF-038"],
    run: (whole) =>
      withAdapter(whole, async (scene) => {
        const { runtime, boot, adapter, own } = scene
        await boot("", { vmm: own })
        must((await adapter.begun()).length <= 1, "a VMM that the runtime knows was looked for outside")
        const id = await running(scene)
        must(((await runtime.status(id)) as OnVmm).vmm?.name === NAME, "it says that it runs on another VMM")
        const directory = (await adapter.asked("prepare")).at(-1)?.plan?.directory ?? ""
        const kept = async (name: string) => (await readFile(join(directory, name), "utf8")).trim()
        must((await kept("place")) === directory, `the command line was run in ${await kept("place")}`)
        const variables = (await kept("environment")).split("\n").filter(Boolean)
        must(
          variables.every((one) => one.startsWith("PATH=")),
          `it has the environment ${variables.join(" ")}`,
        )
        await typed(runtime, id, "to its input")
        await runtime.says(id, /ECHO \[to its input\]/)
        const snapshot = { body: { instance_id: id, tag: "suite" } }
        await runtime.refused("POST /snapshot", "OVM_UNSUPPORTED", "", snapshot)
        // An end of its own: what the adapter is told is its exit status.
        await writeFile(join(directory, "end.new"), "7")
        await rename(join(directory, "end.new"), join(directory, "end"))
        const { exit } = await runtime.reaches(id, "stopped")
        must(exit?.reason === "result" && exit.status === 7, `its end is told as ${JSON.stringify(exit)}`)
      }),
  },
  {
    name: "adapter/ends-meanwhile",
    covers: ["OVMS-ADP-021"],
    run: (whole) =>
      withAdapter(whole, async (scene) => {
        const { runtime, adapter } = scene
        const id = await running(scene)
        const watched = (await adapter.asked("watch")).length
        const counted = ticks(await runtime.logs(id))
        for (const pid of await adapter.living()) process.kill(pid, "SIGKILL")
        await runtime.until("its machine goes on", async () => ticks(await runtime.logs(id)) > counted + 5)
        await runtime.until(
          "the next one is asked to watch its machine",
          async () => (await adapter.asked("watch")).length > watched,
        )
        await runtime.until("it is reached", async () => (await runtime.status(id)).reachable === undefined)
        await runtime.ask("POST /instances/{instance_id}/pause", id)
        await runtime.reaches(id, "paused")
        await runtime.ask("POST /instances/{instance_id}/resume", id)
        await runtime.reaches(id, "running")
      }),
  },
  {
    name: "adapter/lines-that-are-none",
    covers: ["OVMS-ADP-013"],
    run: (whole) =>
      withAdapter(whole, async (scene) => {
        const { runtime, adapter } = scene
        for (const fault of ["garbage", "list", "flood", "stranger"]) {
          await adapter.behave({ prepare: fault })
          const { code, message } = await failed(scene)
          must(code === "OVM_VMM_FAILED", `after ${fault} a start fails with ${code}: ${message}`)
          must(message.includes(NAME), `the failure does not name the adapter: ${message}`)
          await runtime.until(
            `after ${fault} the adapter is ended`,
            async () => (await adapter.living()).length === 0,
          )
        }
        await adapter.behave({})
        await running(scene)
      }),
  },
  {
    name: "adapter/secure-boot-that-it-has-not",
    covers: ["OVMS-UEF-022"],
    run: (whole) =>
      withAdapter(whole, async ({ runtime, machine, adapter }) => {
        const metadata = { platform: { arch: "x86_64", uefi: true, secureBoot: true } }
        const manifest = await machine({ document: { metadata } })
        await runtime.refused("POST /start", "OVM_UEFI_UNSUPPORTED", "", {
          body: { manifest, overrides: onIt },
        })
        must(
          (await adapter.asked("prepare")).length === 0,
          "it was refused, and something of it was prepared",
        )
      }),
  },
  {
    name: "adapter/never-answers",
    covers: ["OVMS-ADP-014"],
    waits: true,
    run: (whole) =>
      withAdapter(whole, async (scene) => {
        const { runtime, adapter } = scene
        const id = await running(scene)
        await adapter.behave({ pause: "hang" })
        const [pid = 0] = await adapter.living()
        await runtime.refused("POST /instances/{instance_id}/pause", "OVM_VMM_TIMEOUT", id)
        await runtime.until("the adapter is ended", async () => !(await adapter.living()).includes(pid))
        must((await runtime.status(id)).state === "running", "its machine does not run any more")
      }),
  },
  {
    name: "adapter/ended-before-it-was-watched",
    covers: ["OVMS-ADP-061"],
    run: (whole) =>
      withAdapter(
        whole,
        async (scene) => {
          const { runtime, start } = scene
          const id = await start({ manifest: scene.runtime.guest, overrides: onIt })
          const { state, exit, error } = await runtime.until("its end is told", async () => {
            const instance = await runtime.status(id)
            return (instance.state === "stopped" || instance.state === "failed") && instance
          })
          must(
            state === "stopped" && exit?.reason === "guest-shutdown",
            `it is ${state}: ${exit?.reason ?? error?.code}`,
          )
        },
        { manners: { watch: "ended" } },
      ),
  },
  {
    name: "adapter/snapshot-of-another-vmm",
    profile: "snapshot",
    covers: ["OVMS-API-471"],
    run: (whole) =>
      withAdapter(whole, async (scene) => {
        const { runtime, start, machine, own } = scene
        const runtimeHints = { preferredRuntime: [NAME] }
        const manifest = await machine({ document: { network: [{ mode: "none" }], runtimeHints } })
        const preferred = await start({ manifest })
        await runtime.says(preferred, /TICK 1\r?\n/)
        must(
          ((await runtime.status(preferred)) as OnVmm).vmm?.name === NAME,
          "the VMM is not what is preferred",
        )
        const source = await start({ manifest, overrides: { vmm: own } })
        await runtime.says(source, /TICK 2\r?\n/)
        await runtime.ask("POST /snapshot", "", { body: { instance_id: source, tag: "suite" } })
        const clone = await start({ manifest: "localhost/conformance:suite" })
        const text = await runtime.says(clone, /TICK \d+\r?\n/)
        must(!text.includes("GUEST-READY"), "it was booted by the VMM that its manifest prefers")
        must(
          ((await runtime.status(clone)) as OnVmm).vmm?.name === own,
          "it is another VMM than the snapshot's",
        )
      }),
  },
]

/** Types a line to the console of a machine. */
async function typed(runtime: Runtime, id: string, line: string): Promise<void> {
  const query = `attachment=${randomUUID()}`
  let sent = false
  await runtime.raw("GET", `/instances/${id}/attach`, {
    query,
    onData: (text) => {
      if (!sent) {
        sent = true
        runtime.raw("POST", `/instances/${id}/input`, { query, body: utf8(`${line}\n`) }).catch(() => {})
      }
      return text.includes(`ECHO [${line}]`)
    },
  })
}
