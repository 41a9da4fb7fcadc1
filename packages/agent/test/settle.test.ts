import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { until } from "@ovms/testkit/until.ts"
import { Agent } from "../../ovm/src/guest/agent/agent.ts"
import { freezeGuest } from "../../ovm/src/guest/agent/freeze.ts"
import type { Resumed } from "../../ovm/src/guest/agent/settle.ts"
import { data, exit, Impostors } from "./impostor.testing.ts"

setDefaultTimeout(60_000)

// What a host has an agent do before anything else, in which order: what the agent makes of it, guests show.

const impostors = new Impostors()
afterAll(() => impostors[Symbol.dispose]())

/** An agent, what it was asked for, and what became of its machine; it does all of it unless `refuses` or `runs` it. */
async function watched({ resumed = false, refuses = "", runs = false, switches = false } = {}) {
  const asked: (readonly string[])[] = []
  const events: string[] = []
  const began = Date.now()
  let set = Number.NaN
  const channel = await impostors.connect((stream, texts) => {
    asked.push(texts)
    events.push(texts[0] ?? "")
    const [kind, particular = ""] = texts
    if (kind === "time") set = Number(particular.slice("time=".length)) / 1e6
    // No answer until what comes next is there, which a host that waits for each would never send.
    const hooks = 1 + asked.findIndex(([kind]) => kind === "hooks")
    if (switches && kind === "hooks") return []
    if (switches && kind === "root") return [exit(hooks), exit(stream)]
    const out = runs && kind === "hooks" ? [data(stream, Buffer.from("10-own\n"))] : []
    return kind === refuses ? [exit(stream, 2, 1, "not here")] : [...out, exit(stream)]
  })
  const own: Resumed = {
    name: () => "web",
    renewed: undefined,
    linkUp: async () => void events.push("link up"),
    onRenewed: () => void events.push("renewed"),
  }
  const agent = new Agent({
    connect: async () => channel,
    runs: () => true,
    switches,
    ...(resumed && { resumed: own }),
  })
  const session = await agent.session(10_000)
  return { agent, session, asked, events, began, set: () => set }
}

test("a guest that goes on is reseeded, has its clock set and its hooks run, and then its link comes up [OVMS-AGT-050, OVMS-AGT-053]", async () => {
  const { agent, asked, events, began, set } = await watched({ resumed: true, runs: true })
  expect(events).toEqual(["reseed", "time", "hooks", "renewed", "link up", "hooks"])
  expect(asked[0]?.[1]).toMatch(/^seed=[0-9a-f]{64}$/)
  expect(asked[2]).toEqual(["hooks", "event=post-resume", "name=web"])
  expect(asked[3]).toEqual(["hooks", "event=link-up", "name=web"])
  expect(set()).toBeWithin(began, Date.now() + 1)
  expect(agent.state.renewed).toBeDefined()
  agent.close()
})

test("a guest without hooks is not asked twice, and one that only booted has random bytes alone [OVMS-AGT-054]", async () => {
  const clone = await watched({ resumed: true })
  expect(clone.events).toEqual(["reseed", "time", "hooks", "renewed", "link up"])
  clone.agent.close()
  const booted = await watched()
  expect(booted.events).toEqual(["reseed"])
  expect(booted.agent.state.renewed).toBeUndefined()
  booted.agent.close()
})

test("whether a guest has its root is asked along with the rest, and not waited for in between [OVMS-AGT-053, OVMS-AGT-096]", async () => {
  const { agent, events } = await watched({ resumed: true, switches: true })
  expect(events).toEqual(["reseed", "time", "hooks", "root", "renewed", "link up"])
  agent.close()
})

test("one that cannot be reseeded stays unplugged, and is said to be as it was [OVMS-SNP-170, OVMS-SNP-173]", async () => {
  const { agent, events } = await watched({ resumed: true, refuses: "reseed" })
  expect(events).toEqual(["reseed", "time", "hooks"])
  expect(agent.state).toMatchObject({ ready: true })
  expect(agent.state.renewed).toBeUndefined()
  expect(agent.troubles).toEqual(["its random bytes could not be renewed: not here"])
  agent.close()
})

test("an agent of before, which knows no hooks, has none", async () => {
  const { agent, events } = await watched({ resumed: true, refuses: "hooks" })
  expect(events).toEqual(["reseed", "time", "hooks", "renewed", "link up"])
  expect(agent.troubles).toEqual([])
  agent.close()
})

test("the source of a snapshot is reseeded before what is asked for later [OVMS-AGT-055]", async () => {
  const { agent, session, asked } = await watched()
  agent.renew()
  session.do(["exec", "argument=true"])
  await until("it was asked", () => asked.length === 3)
  expect(asked.map(([kind]) => kind)).toEqual(["reseed", "reseed", "exec"])
  expect(asked[0]).not.toEqual(asked[1])
  agent.close()
})

/** An agent that is called anew each time that its channel has gone, and what each was asked for. */
function calledAnew() {
  const asked: string[] = []
  const agent = new Agent({
    connect: async () =>
      await impostors.connect((stream, texts) => {
        asked.push(
          texts
            .slice(0, 2)
            .join(" ")
            .replace(/seed=.*/, "")
            .trim(),
        )
        return texts[0] === "freeze" ? [data(stream, Buffer.from("frozen 1\n"))] : [exit(stream)]
      }),
    runs: () => true,
  })
  return { agent, asked }
}

test("one whose streams the VMM has cut is called anew, reseeded, and told then what has happened [OVMS-AGT-054, OVMS-API-421]", async () => {
  const { agent, asked } = calledAnew()
  const session = await agent.session(10_000)
  agent.cut()
  await session.closed
  agent.renew()
  agent.tell("post-snapshot", "web")
  expect((await agent.session(10_000)) === session).toBe(false)
  await until("it is told", () => asked.length === 3)
  expect(asked).toEqual(["reseed", "reseed", "hooks event=post-snapshot"])
  agent.close()
})

test("file systems that were frozen until the VMM cut it were so when their guest stood still; not those of one that went [OVMS-API-422]", async () => {
  const { agent } = calledAnew()
  const first = await agent.session(10_000)
  const cut = await freezeGuest(first)
  agent.cut()
  expect(await cut.held()).toBe(true)
  await first.closed
  const gone = await freezeGuest(await agent.session(10_000))
  agent.gone("ovm")
  expect(await gone.held()).toBe(false)
  agent.close()
})
