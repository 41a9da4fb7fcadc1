import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { must, skip } from "../../check.ts"
import { alive, processesWith, signal } from "../../subject/processes.ts"
import type { Instance } from "../../subject/runtime.ts"
import { aside } from "../runtime/aside.ts"
import type { Plan, Scene } from "../runtime/plan.ts"
import { allBut, LINE, later, opened, type Stage, wayOut, withAgent } from "./stage.ts"

const EXEC = "POST /instances/{instance_id}/exec"
/** EXIT of what an agent cannot do (OVMS-AGT-021). */
const REFUSED = 2
const OPERATOR = { OVMS_CONFORMANCE_SHARES: "virtiofs" }

type Sharing = Instance & {
  readonly shares?: readonly { readonly type?: string }[]
  readonly degraded?: readonly string[]
}

/** A machine that is asked to mount a share by virtiofs; `answer` comes once its command has run. */
interface Asked extends Stage {
  readonly stream: number
  readonly answer: Promise<unknown>
  readonly source: string
}

/** Has a machine with a share in a runtime that offers virtiofs; skips where it offers none. */
function asked(scene: Scene, use: (asked: Asked) => Promise<void>): Promise<void> {
  return aside(
    scene,
    async (own) => {
      const { runtime, start, folder } = own
      const source = join(folder, "shared")
      await mkdir(source)
      const shares = [{ source, target: "/srv/one", readOnly: true }]
      const manifest = await own.machine({ document: { devices: await wayOut(own) } })
      const id = await start({ manifest, overrides: { args: LINE, shares } })
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      await withAgent(own, id, allBut("mount"), async (stage) => {
        const answer = later(runtime.ask(EXEC, id, { body: { command: ["true"] } }))
        const { words, stream } = await opened(stage, "mount")
        if (!words.includes("virtiofs")) skip("the runtime offers no share by virtiofs on this host")
        await use({ ...stage, stream, answer, source })
      })
    },
    OPERATOR,
  )
}

/** Those who serve the folder to a machine, and are no VMM. */
async function serversOf(source: string): Promise<readonly number[]> {
  const found = processesWith(source)
  const names = await Promise.all(found.map((pid) => readFile(`/proc/${pid}/comm`, "latin1").catch(() => "")))
  return found.filter((_, at) => names[at]?.includes("virtiofs"))
}

export const virtiofsPlans: readonly Plan[] = [
  {
    name: "agent/share-by-virtiofs",
    profile: "agent",
    covers: ["OVMS-AGT-131", "OVMS-CNF-042"],
    run: (scene) =>
      asked(scene, async ({ stream, answer, ...stage }) => {
        stage.agent.exit(stream, 0, REFUSED, "a word that it does not know")
        const second = await opened(stage, "mount", 2)
        must(
          !second.words.includes("virtiofs") && second.words.includes("path=/srv/one"),
          `it is asked for ${second.words.join(" ")}`,
        )
        stage.agent.exit(second.stream)
        await answer
      }),
  },
  {
    name: "agent/share-that-nobody-serves",
    profile: "agent",
    covers: ["OVMS-SHR-037", "OVMS-SHR-038"],
    run: (scene) =>
      asked(scene, async ({ runtime, id, agent, stream, answer, source }) => {
        agent.output(stream, "virtiofs\n")
        agent.exit(stream)
        await answer
        const before = (await runtime.status(id)) as Sharing
        must(before.shares?.[0]?.type === "virtiofs", `the share is mounted by ${before.shares?.[0]?.type}`)
        must(!before.degraded?.includes("share"), "a share that is served is one of what is degraded")
        const servers = await serversOf(source)
        if (servers.length === 0) skip("no process on this host has the folder of a share in its words")
        signal(servers, "SIGKILL")
        await runtime.until("who served the share is gone", async () => alive(servers).length === 0)
        await runtime.until("degraded has share", async () =>
          ((await runtime.status(id)) as Sharing).degraded?.includes("share"),
        )
        const count = (text: string) => text.match(/TICK \d+\r?\n/g)?.length ?? 0
        const ticks = count(await runtime.logs(id))
        await runtime.until("the machine goes on", async () => count(await runtime.logs(id)) > ticks)
        must((await runtime.status(id)).state === "running", "the machine of a share that is gone has ended")
      }),
  },
]
