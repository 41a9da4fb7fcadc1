import { randomUUID } from "node:crypto"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { TYPE } from "../../agent/frame.ts"
import { must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import type { Instance } from "../../subject/runtime.ts"
import type { Plan } from "../runtime/plan.ts"
import { agentPlan, allBut, LINE, later, opened, portOf, ready, wayOut, withAgent } from "./stage.ts"

const EXEC = "POST /instances/{instance_id}/exec"

interface Share {
  readonly source: string
  readonly target: string
  readonly read_only: boolean
  readonly mounted: boolean
  readonly type?: string
  readonly reason?: string
}

type Answering = Instance & {
  readonly agent?: { readonly program?: { name: string }; readonly since?: string }
}

type Emulated = Instance & { readonly vmm?: { readonly accelerator: string } }

type Sharing = Instance & { readonly shares?: readonly Share[]; readonly degraded?: readonly string[] }

export const agentGuestPlans: readonly Plan[] = [
  agentPlan(
    "root-of-its-disk",
    ["OVMS-AGT-096"],
    async (stage) => {
      const { runtime, id, agent } = stage
      agent.manner = allBut("root")
      const answer = later(runtime.ask(EXEC, id, { body: { command: ["true"] } }))
      const { stream } = await opened(stage, "root")
      await new Promise((resolve) => setTimeout(resolve, 500))
      must(agent.opened("exec").length === 0, "a command is run before the guest has the root of its disk")
      agent.exit(stream)
      await answer
    },
    { changes: { diskless: false }, manner: allBut("root") },
  ),
  agentPlan("size-of-the-console", ["OVMS-AGT-111", "OVMS-API-502"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    const attachment = `attachment=${randomUUID()}`
    let wanted = 0
    const sizes = () =>
      agent.opened("console").map(({ words }) => words.find((word) => word.startsWith("terminal=")))
    const stop = new AbortController()
    const attached = later(
      runtime.with(stop.signal).raw("GET", `/instances/${id}/attach`, {
        query: attachment,
        onData: () => {
          if (wanted === 0) wanted = 1
          return wanted === 2
        },
      }),
    )
    await runtime.until("it is attached", async () => wanted === 1)
    const say = (size: string) =>
      runtime.raw("POST", `/instances/${id}/input`, {
        query: `${attachment}&window=${size}`,
        body: Buffer.alloc(0),
      })
    for (const [at, size] of ["24x80", "50x132"].entries()) {
      const { status, text } = await say(size)
      must(status === 204, `the size of the terminal was answered with ${status}: ${text}`)
      await runtime.until("the agent is told the size", async () => sizes()[at] === `terminal=${size}`)
    }
    for (const window of ["0x80", "24x65536", "24", "24x80x1"]) {
      const query = `${attachment}&window=${window}`
      const operation = "POST /instances/{instance_id}/input"
      await runtime.refused(operation, "OVM_REQUEST_INVALID", id, { query, body: utf8("x") })
    }
    const said = sizes().length
    agent.say(TYPE.restarted, 0)
    await runtime.until("the next one is told as well", async () =>
      sizes().slice(said).includes("terminal=50x132"),
    )
    wanted = 2
    await attached
  }),
  agentPlan("whose-agent-it-is", ["OVMS-API-510"], async (stage) => {
    const { runtime, id, agent } = stage
    const said = async () => ((await runtime.status(id)) as Answering).agent
    await ready(stage)
    const { program, since } = (await said()) ?? {}
    must(program?.name === "ovm", `agent.program is ${JSON.stringify(program)}`)
    const when = Date.parse(since ?? "")
    must(when <= Date.now() && when > Date.now() - 60_000, `it answers since ${since}`)
    agent.answers = false
    agent.say(TYPE.restarted, 0)
    await runtime.until("nobody answers any more", async () => (await said())?.program === undefined)
  }),
  {
    name: "agent/shares",
    profile: "agent",
    covers: ["OVMS-SHR-005", "OVMS-SHR-006", "OVMS-SHR-020", "OVMS-SHR-021", "OVMS-SHR-037", "OVMS-SHR-039"],
    async run(scene) {
      const { runtime, machine, start, folder } = scene
      const sources = ["first", "second"].map((name) => join(folder, name))
      for (const source of sources) await mkdir(source)
      const [one = "", two = ""] = sources
      const shares = [
        { source: one, target: "/srv/one", readOnly: true },
        { source: two, target: "/srv/two" },
      ]
      const manifest = await machine({ document: { devices: await wayOut(scene) } })
      const id = await start({ manifest, overrides: { args: LINE, shares } })
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      must(await portOf(scene, id), "there is no port")
      await withAgent(scene, id, allBut("mount"), async (stage) => {
        const { agent } = stage
        const answer = later(runtime.ask(EXEC, id, { body: { command: ["true"] } }))
        const first = await opened(stage, "mount")
        must(
          first.words.includes("path=/srv/one") && first.words.includes("readonly"),
          `it is asked for ${first.words.join(" ")}`,
        )
        must(agent.opened("exec").length === 0, "a command is run before the shares are mounted")
        const { vmm } = (await runtime.status(id)) as Emulated
        const offered = first.words.includes("virtiofs")
        must(!offered || vmm?.accelerator !== "tcg", "an emulated machine is offered virtiofs unasked")
        agent.exit(first.stream)
        const second = agent.opened("mount")[1] ?? (await opened(stage, "mount", 2))
        must(
          second.words.includes("path=/srv/two") && !second.words.includes("readonly"),
          `it is asked for ${second.words.join(" ")}`,
        )
        agent.output(second.stream, "suite: no such device", 2)
        agent.exit(second.stream, 1)
        await answer
        const info = (await runtime.status(id)) as Sharing
        const plain = (info.shares ?? []).map(({ reason, type, ...rest }) => ({
          ...rest,
          // The agent said nothing, as one does that knows nothing else (OVMS-AGT-132).
          ninep: type === "9p",
          why: reason !== undefined,
        }))
        const wanted = [
          { source: one, target: "/srv/one", read_only: true, mounted: true, ninep: true, why: false },
          { source: two, target: "/srv/two", read_only: false, mounted: false, ninep: false, why: true },
        ]
        must(isDeepStrictEqual(plain, wanted), `shares is ${JSON.stringify(info.shares)}`)
        must(info.shares?.[1]?.reason?.includes("no such device"), "the reason is not what the agent said")
        must(
          info.state === "running" && info.degraded?.includes("share"),
          `it is ${info.state}, degraded ${info.degraded}`,
        )
      })
    },
  },
]
