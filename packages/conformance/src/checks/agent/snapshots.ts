import { randomUUID } from "node:crypto"
import { TYPE } from "../../agent/frame.ts"
import type { Manner } from "../../agent/stand-in.ts"
import { must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import type { Instance } from "../../subject/runtime.ts"
import { needs } from "../../subject/vmms.ts"
import { linksOf } from "../runtime/links.ts"
import type { Plan, Scene } from "../runtime/plan.ts"
import { unique } from "../unique.ts"
import { LINE, later, OBEDIENT, opened, agentPlan as plan, ready, type Stage, withAgent } from "./stage.ts"

const SNAPSHOT = "POST /snapshot"
const EXEC = "POST /instances/{instance_id}/exec"

/** With a disk: what a snapshot has of a machine without one is another thing. */
function diskPlan(name: string, covers: readonly string[], run: (stage: Stage) => Promise<void>): Plan {
  return plan(name, covers, run, { changes: { diskless: false } })
}

/** Freezes until the input ends, and does all else at once. */
const FREEZES: Manner = (words, stream, agent) => {
  if (words[0] === "freeze") agent.output(stream, "frozen 1\n")
  else agent.exit(stream)
}

/** What the agent is asked for, in order, as short words; `thaw` is where the input of the freeze ends. */
function asked({ agent }: Stage, after: number): string[] {
  let freeze = 0
  return agent.heard.slice(after).flatMap(({ type, stream, payload }) => {
    if (type === TYPE.end && stream === freeze) return ["thaw"]
    if (type !== TYPE.open) return []
    const [what = "", ...more] = payload.toString().split("\0")
    if (what === "freeze") freeze = stream
    const event = more.find((word) => word.startsWith("event="))?.slice(6)
    return [event ?? what]
  })
}

/** A snapshot of the machine: its name. */
async function taken({ runtime, id }: Stage, more: object = {}): Promise<string> {
  const tag = unique()
  await runtime.ask(SNAPSHOT, "", { body: { instance_id: id, tag, ...more } })
  return `localhost/conformance:${tag}`
}

/** A machine that goes on from a snapshot of this one, and its agent. */
async function resumed(stage: Stage, manner: Manner, run: (clone: Stage) => Promise<void>): Promise<void> {
  await ready(stage)
  const id = await stage.start({ manifest: await taken(stage) })
  await withAgent(stage, id, manner, run)
}

async function agentOf({ runtime, id }: Pick<Stage, "runtime" | "id">) {
  const { agent } = (await runtime.status(id)) as Instance & { agent?: { ready: boolean; renewed?: string } }
  return agent
}

async function nothingTaken({ runtime }: Scene, tag: string): Promise<void> {
  const body = { manifest: `localhost/conformance:${tag}` }
  await runtime.refused("POST /instances", "OVM_NAME_UNKNOWN", "", { body })
}

export const agentSnapshotPlans: readonly Plan[] = [
  diskPlan("around-a-snapshot", ["OVMS-API-420", "OVMS-API-421", "OVMS-AGT-055"], async (stage) => {
    const { runtime, id, agent } = stage
    agent.manner = (words, stream) => {
      if (words[0] === "freeze") agent.output(stream, "frozen 1\n")
      else agent.exit(stream)
    }
    await ready(stage)
    const before = agent.heard.length
    let taking = true
    const thaw = later(
      runtime.until("the freeze is over", async () => {
        const [freeze] = agent.opened("freeze")
        if (!taking) return true
        if (!freeze || agent.of(freeze.stream, TYPE.end).length === 0) return false
        agent.exit(freeze.stream)
        return true
      }),
    )
    await taken(stage, { freeze: true, exec_before: ["sync"] })
    taking = false
    must(agent.opened("freeze").length === 1, "what the guest writes does not stand still")
    await thaw
    await runtime.ask(EXEC, id, { body: { command: ["true"] } })
    const order = asked(stage, before)
    const wanted = ["exec", "pre-snapshot", "freeze", "thaw", "post-snapshot"]
    const found = order.filter((word) => wanted.includes(word))
    must(found.slice(0, 5).sort().join() === [...wanted].sort().join(), `it is asked for ${order.join(", ")}`)
    must(
      order.indexOf("pre-snapshot") < order.indexOf("freeze"),
      "the hooks for pre-snapshot are run after the freeze",
    )
    must(
      order.indexOf("thaw") < order.indexOf("post-snapshot"),
      "the hooks for post-snapshot are run before the thaw",
    )
    const last = order.lastIndexOf("exec")
    must(
      order.slice(order.indexOf("freeze"), last).includes("reseed"),
      `it was not asked to reseed: ${order.join(", ")}`,
    )
  }),
  diskPlan("not-ready-for-a-snapshot", ["OVMS-API-422"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    const cases = [
      ["exec", { exec_before: ["false"] }],
      ["hooks", {}],
      ["freeze", { freeze: true }],
    ] as const
    for (const [what, more] of cases) {
      agent.manner = (words, stream) =>
        agent.exit(stream, words[0] === what && !words.includes("event=post-snapshot") ? 1 : 0)
      const tag = unique()
      await runtime.refused(SNAPSHOT, "OVM_GUEST_NOT_READY", "", { body: { instance_id: id, tag, ...more } })
      await nothingTaken(stage, tag)
    }
    must((await runtime.status(id)).state === "running", "the machine does not run any more")
    const without = await stage.boot()
    for (const more of [cases[0][1], cases[2][1]]) {
      const tag = unique()
      await runtime.refused(SNAPSHOT, /^OVM_(UNSUPPORTED|AGENT_UNAVAILABLE)$/, "", {
        body: { instance_id: without, tag, ...more },
      })
      await nothingTaken(stage, tag)
    }
  }),
  diskPlan(
    "after-a-resume",
    ["OVMS-AGT-050", "OVMS-AGT-053", "OVMS-SNP-171", "OVMS-API-329"],
    async (stage) => {
      const began = Date.now()
      const hooks: Manner = (words, stream, agent) => {
        if (words[0] === "hooks") agent.output(stream, "10-suite\n")
        if (!words.includes("event=post-resume")) agent.exit(stream)
      }
      await resumed(stage, hooks, async (clone) => {
        const { runtime, id, agent } = clone
        const answer = later(runtime.ask(EXEC, id, { body: { command: ["true"] } }))
        const { stream } = await opened(clone, "hooks")
        must(
          (await agentOf(clone))?.renewed === undefined,
          "agent.renewed is there although hooks are still run",
        )
        must(agent.opened("exec").length === 0, "a command is run before the hooks for post-resume are over")
        agent.exit(stream)
        await answer
        const order = asked(clone, 0)
        must(
          order.slice(0, 4).join() === "reseed,time,post-resume,link-up" ||
            order.slice(0, 3).join() === "reseed,time,post-resume",
          `it is asked for ${order.join(", ")}`,
        )
        must((await agentOf(clone))?.renewed, "agent.renewed is not there")
        await runtime.until("the hooks for link-up are run", async () => asked(clone, 0).includes("link-up"))
        const [, seed = ""] = agent.opened("reseed")[0]?.words ?? []
        must(/^seed=[0-9a-f]{64}$/.test(seed), `it reseeds with ${seed}`)
        const nanoseconds = Number(agent.opened("time")[0]?.words[1]?.slice("time=".length)) / 1e6
        must(nanoseconds >= began && nanoseconds <= Date.now(), "the time that it is given is not the host's")
      })
    },
  ),
  plan(
    "link-after-a-resume",
    ["OVMS-SNP-170", "OVMS-AGT-053"],
    async (stage) => {
      await needs(stage.runtime, "linkDown")
      const hooks: Manner = (words, stream, agent) => {
        if (!words.includes("event=post-resume")) agent.exit(stream)
      }
      await resumed(stage, hooks, async (clone) => {
        const { runtime, id, agent } = clone
        const { stream } = await opened(clone, "hooks")
        await new Promise((resolve) => setTimeout(resolve, 1000))
        const held = linksOf(await runtime.logs(id))
        must(held.at(-1)?.up === false, "the link is up, and the hooks for post-resume are not over")
        const early = asked(clone, 0)
        must(!early.includes("link-up"), `hooks are run for a link that is not up: ${early.join(", ")}`)
        agent.exit(stream, 1)
        await runtime.says(id, /NIC [0-9a-f:]* up\r?\n/)
      })
      const cannot: Manner = (words, stream, agent) =>
        words[0] === "reseed" ? agent.exit(stream, 0, 2, "no pool") : agent.exit(stream)
      await resumed(stage, cannot, async (clone) => {
        const { runtime, id } = clone
        await opened(clone, "hooks")
        await ready(clone)
        await new Promise((resolve) => setTimeout(resolve, 1000))
        must(linksOf(await runtime.logs(id)).at(-1)?.up === false, "the link is up, and nobody has reseeded")
      })
    },
    {
      changes: { diskless: false },
      overrides: { args: `${LINE} net=1`, network: { mode: "user" } },
    },
  ),
  diskPlan("input-after-a-resume", ["OVMS-SNP-172"], async (stage) => {
    const hooks: Manner = (words, stream, agent) => {
      if (!words.includes("event=post-resume")) agent.exit(stream)
    }
    await resumed(stage, hooks, async (clone) => {
      const { runtime, id, agent } = clone
      const query = `attachment=${randomUUID()}`
      let typed: Promise<unknown> = Promise.resolve()
      let sent = false
      let over = 0
      const attached = later(
        runtime.raw("GET", `/instances/${id}/attach`, {
          query,
          onData: (text) => {
            if (!sent) {
              sent = true
              typed = later(
                runtime.raw("POST", `/instances/${id}/input`, { query, body: utf8("held-back\r") }),
              )
            }
            if (text.includes("ECHO [held-back]")) over = performance.now()
            return over > 0
          },
        }),
      )
      const { stream } = await opened(clone, "hooks")
      await runtime.until("something is typed", async () => sent)
      await new Promise((resolve) => setTimeout(resolve, 1000))
      const held = over === 0
      const done = performance.now()
      agent.exit(stream)
      await attached
      await typed
      must(held && over > done, "input came to the guest before that was a machine of its own")
    })
  }),
  {
    ...diskPlan("no-agent-after-a-resume", ["OVMS-SNP-173"], async (stage) => {
      await ready(stage)
      const { runtime } = stage
      const id = await stage.start({ manifest: await taken(stage) })
      await runtime.reaches(id, "running")
      await runtime.until("a warning says that no agent has answered", async () => {
        const { warnings, state } = await runtime.status(id)
        must(state === "running", `a machine without an agent is ${state}`)
        return warnings.some((words) => /agent/i.test(words))
      })
    }),
    waits: true,
  },
  diskPlan("stop-of-what-is-snapshotted", ["OVMS-API-145"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = (words, stream) => words[0] !== "hooks" && agent.exit(stream)
    const tag = unique()
    const asked = { body: { instance_id: id, tag } }
    const snapshot = later(runtime.refused(SNAPSHOT, "OVM_STATE_CONFLICT", "", asked))
    await opened(stage, "hooks")
    await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
    await runtime.reaches(id, "stopped")
    await snapshot
    await nothingTaken(stage, tag)
  }),
  diskPlan("freeze-for-a-snapshot", ["OVMS-API-420"], async (stage) => {
    const { runtime, agent } = stage
    agent.manner = FREEZES
    await ready(stage)
    const before = agent.heard.length
    const answer = later(taken(stage, { freeze: true }))
    const { stream } = await opened(stage, "freeze")
    await runtime.until("the freeze is over", async () => agent.of(stream, TYPE.end).length > 0)
    agent.exit(stream)
    await answer
    must(asked(stage, before).includes("freeze"), "nothing was frozen")
  }),
  diskPlan("child-of-a-fork", ["OVMS-API-444"], async (stage) => {
    const { runtime, id } = stage
    await ready(stage)
    const { instances } = await runtime.ask<{ instances: readonly { instance_id: string }[] }>(
      "POST /instances/{instance_id}/fork",
      id,
      { body: { count: 2 } },
    )
    for (const { instance_id } of instances) stage.keep(instance_id)
    const [, second] = instances
    must(second, "there are not two children")
    await withAgent(stage, second.instance_id, OBEDIENT, async (child) => {
      await runtime.ask(EXEC, child.id, { body: { command: ["env"] } })
      await runtime.ask(EXEC, child.id, { body: { command: ["env"], environment: ["OVMS_FORK_INDEX=7"] } })
      const said = child.agent
        .opened("exec")
        .map(({ words }) => words.filter((word) => word.includes("OVMS_FORK_INDEX")).join())
      must(said[0] === "variable=OVMS_FORK_INDEX=1", `a command of the second child has ${said[0]}`)
      must(said[1] === "variable=OVMS_FORK_INDEX=7", `a command that names it has ${said[1]}`)
    })
  }),
]
