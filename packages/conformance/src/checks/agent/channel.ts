import { type Frame, frameOf, number, TYPE } from "../../agent/frame.ts"
import type { StandIn } from "../../agent/stand-in.ts"
import { must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import type { Plan } from "../runtime/plan.ts"
import {
  agentPlan,
  allBut,
  LINE,
  later,
  opened,
  portName,
  portOf,
  ready,
  type Stage,
  wayOut,
  withAgent,
} from "./stage.ts"

const EXEC = "POST /instances/{instance_id}/exec"
const NOISE = 65_552

function helloOf(one: Frame | undefined): string {
  must(one, "the host says nothing")
  must(one.type === TYPE.hello, `the first frame is of type ${one.type}, and no HELLO`)
  const { payload } = one
  must(
    payload.length === 24 && payload.toString("latin1", 0, 8) === "OVMAGNT1",
    "the HELLO has another payload",
  )
  return payload.toString("hex", 8)
}

/** The seed that the first thing that is asked for has. */
function seedOf({ agent }: Stage, after = 0): string {
  const first = agent.heard.slice(after).find(({ type }) => type === TYPE.open)
  const words = first?.payload.toString().split("\0") ?? []
  must(words[0] === "reseed", `the first thing that the host asks for is ${words[0]}`)
  const [, seed = ""] = /^seed=([0-9a-f]*)$/.exec(words[1] ?? "") ?? []
  must(seed.length === 64, `it reseeds with ${seed.length / 2} bytes, and not 32`)
  return seed
}

/** What an agent may not say, of a stream that is under way. */
const LIES: Readonly<Record<string, (agent: StandIn, stream: number) => void>> = {
  "a wrong checksum": (agent, stream) => {
    const frame = frameOf(TYPE.data, stream, Buffer.of(1), utf8("x"))
    frame.writeUInt8(frame.readUInt8(16) ^ 8, 16)
    agent.raw(frame)
  },
  "a frame of 2 GiB": (agent, stream) => {
    const frame = frameOf(TYPE.data, stream, Buffer.of(1))
    frame.writeUInt32LE(0x7fffffff, 8)
    agent.raw(frame)
  },
  RESTARTED: (agent) => agent.say(TYPE.restarted, 0),
  "a type that is none": (agent, stream) => agent.say(99, stream),
  "an EXIT of four bytes": (agent, stream) => agent.say(TYPE.exit, stream, number(0)),
}

/** What it may not say of credit. */
const GREED: Readonly<Record<string, (agent: StandIn, stream: number) => void>> = {
  "credit for what it was not sent": (agent, stream) => agent.say(TYPE.credit, stream, number(1)),
}

async function begunAnew(stage: Stage, lies: typeof LIES): Promise<void> {
  const { runtime, id, agent } = stage
  for (const [what, lie] of Object.entries(lies)) {
    agent.manner = (words, stream) => (words[0] === "exec" ? lie(agent, stream) : agent.exit(stream))
    const said = agent.heard.length
    await ready(stage)
    const body = { command: ["lied-to"], wait_ms: 0 }
    await runtime.refused(EXEC, "OVM_AGENT_UNAVAILABLE", id, { body })
    agent.manner = allBut("nothing")
    await ready(stage)
    const hello = agent.heard.slice(said).findIndex(({ type }) => type === TYPE.hello)
    must(hello >= 0, `after ${what} the host does not begin anew`)
    await runtime.ask(EXEC, id, { body: { command: ["true"] } })
  }
}

/** A manifest that has an agent. */
const ASKS = { agent: { protocol: "ovms.agent.v1" } }

export const agentChannelPlans: readonly Plan[] = [
  agentPlan(
    "begins",
    ["OVMS-AGT-001", "OVMS-AGT-010", "OVMS-AGT-020", "OVMS-AGT-054", "OVMS-API-320"],
    async (stage) => {
      const { runtime, id, agent } = stage
      const port = await portName(stage)
      await runtime.until(`${port} on the console`, async () => (await runtime.logs(id)).includes(port))
      await ready(stage)
      const [first] = agent.heard
      const nonce = helloOf(first)
      must(first?.zeros === NOISE, `there are ${first?.zeros} zero bytes before the HELLO, and not ${NOISE}`)
      const seed = seedOf(stage)
      const said = agent.heard.length
      agent.say(TYPE.restarted, 0)
      await runtime.until("the host begins anew", async () =>
        agent.heard.slice(said).some(({ type }) => type === TYPE.open),
      )
      must(helloOf(agent.heard[said]) !== nonce, "the next HELLO has the same nonce")
      must(agent.heard[said]?.zeros === NOISE, "there is no noise before the next HELLO")
      must(seedOf(stage, said) !== seed, "it reseeds with the same bytes again")
      for (let times = 0; times < 3; times++) await runtime.ask(EXEC, id, { body: { command: ["true"] } })
      const streams = agent.heard
        .slice(said)
        .filter(({ type }) => type === TYPE.open)
        .map(({ stream }) => stream)
      must(!streams.includes(0), "a stream has the number 0")
      must(new Set(streams).size === streams.length, `two streams have one number: ${streams.join(", ")}`)
    },
  ),
  agentPlan(
    "asked-for-by-the-manifest",
    ["OVMS-MAN-131"],
    async (stage) => {
      const { runtime, id, start } = stage
      await ready(stage)
      must(
        (await runtime.says(id, /AGENT (none|\[.*\])\r?\n/)).includes(await portName(stage)),
        "there is no port although the manifest has an agent",
      )
      const { image } = await runtime.status(id)
      const manifest = await stage.machine({ document: { devices: await wayOut(stage), ...ASKS } })
      const without = await start({ manifest, overrides: { args: LINE, agent: false } })
      await withAgent(stage, without, allBut("nothing"), async ({ agent }) => {
        const text = await runtime.says(without, /AGENT (none|\[.*\])\r?\n/)
        must(!text.includes("org.ovms.agent.0"), "a machine that was to have no agent has its port")
        must(agent.heard.length === 0, "somebody speaks with the agent of a machine that was to have none")
      })
      must(image.digest === (await runtime.status(without)).image.digest, "they are two machines")
    },
    { changes: { document: ASKS }, overrides: { agent: undefined } },
  ),
  agentPlan("noise-before-the-answer", ["OVMS-AGT-011"], async (stage) => {
    const { runtime, id, agent } = stage
    const whole = agent.manner
    agent.raw(Buffer.alloc(300, 0x55))
    agent.say(TYPE.welcome, 0, Buffer.alloc(16, 7))
    agent.say(TYPE.data, 5, Buffer.of(1), utf8("of long ago"))
    agent.manner = whole
    await ready(stage)
    await runtime.ask(EXEC, id, { body: { command: ["true"] } })
  }),
  agentPlan("lies", ["OVMS-AGT-014"], (stage) => begunAnew(stage, LIES)),
  agentPlan("more-than-granted", ["OVMS-AGT-042"], (stage) => begunAnew(stage, GREED)),
  agentPlan("bounded-input", ["OVMS-AGT-040", "OVMS-AGT-041", "OVMS-API-334"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = allBut("write")
    const body = Buffer.alloc(150_000)
    for (let at = 0; at < body.length; at += 1000) body.writeUInt16LE(at / 1000, at)
    const query = `path=${encodeURIComponent("/srv/data")}&rename=true`
    const put = later(
      runtime.raw("PUT", `/instances/${id}/files`, {
        body,
        query,
        headers: { "content-type": "application/x-tar" },
      }),
    )
    const { stream, words } = await opened(stage, "write")
    must(words.includes("path=/srv/data") && words.includes("rename"), `it is asked for ${words.join(" ")}`)
    const sent = () => agent.of(stream, TYPE.data).reduce((sum, { payload }) => sum + payload.length, 0)
    await runtime.until("all that may be sent has come", async () => sent() >= 65_536)
    // Whatever the host does about the one that gets nothing, another one goes on.
    await runtime.ask(EXEC, id, { body: { command: ["true"] } })
    must(sent() === 65_536, `it sent ${sent()} bytes, and was granted 65536`)
    for (let granted = 65_536; granted < body.length; granted += 50_000) {
      agent.say(TYPE.credit, stream, number(50_000))
      const wanted = Math.min(body.length, granted + 50_000)
      await runtime.until("what was granted comes", async () => sent() >= wanted)
      must(sent() <= granted + 50_000, "it sent more than it was granted")
    }
    await runtime.until("the end of the input comes", async () => agent.of(stream, TYPE.end).length > 0)
    const whole = Buffer.concat(agent.of(stream, TYPE.data).map(({ payload }) => payload))
    must(whole.equals(body), "what came is not what was sent")
    agent.exit(stream)
    must((await put).status === 204, `the PUT was answered with ${(await put).status}`)
  }),
  agentPlan("grants-what-it-read", ["OVMS-AGT-043"], async (stage) => {
    const { runtime, id, agent } = stage
    agent.manner = (words, stream) => {
      if (words[0] !== "exec") return agent.exit(stream)
      for (let sent = 0; sent < 4; sent++) agent.output(stream, Buffer.alloc(65_535))
    }
    await ready(stage)
    const answer = later(runtime.ask<{ stdout: string }>(EXEC, id, { body: { command: ["cat"] } }))
    const { stream } = await opened(stage, "exec")
    const granted = () =>
      agent.of(stream, TYPE.credit).reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0)
    await runtime.until("the host grants what it has read", async () => granted() >= 131_072)
    agent.exit(stream)
    must((await answer).stdout.length === 4 * 65_535, "the output is not what was written")
  }),
  {
    name: "agent/none",
    profile: "agent",
    covers: ["OVMS-AGT-002"],
    async run(scene) {
      const { runtime, machine, start } = scene
      const manifest = await machine({ document: { devices: await wayOut(scene) } })
      const id = await start({ manifest, overrides: { args: "console=ttyS0 tick_ms=100 agent=1" } })
      await runtime.says(id, /GUEST-READY[^\n]*\n/)
      await withAgent(scene, id, allBut("nothing"), async ({ agent }) => {
        const text = await runtime.says(id, /AGENT (none|\[.*\])\r?\n/)
        must(
          !text.includes("AGENT [org.ovms.agent.0]"),
          "a machine that was not asked to have an agent has its port",
        )
        must(agent.heard.length === 0, "somebody speaks with its agent")
      })
      must(await portOf(scene, id), "the port is gone")
    },
  },
]
