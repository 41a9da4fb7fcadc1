import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import type { Duplex } from "node:stream"
import { until } from "@ovms/testkit/until.ts"
import { Agent, type AgentPatience } from "../../ovm/src/guest/agent/agent.ts"
import { Workshop } from "./agent.testing.ts"
import { exit, Impostors } from "./impostor.testing.ts"

setDefaultTimeout(60_000)

// Agents that answer and then do nothing more: each is given up, that is said, and the next one serves.

const impostors = new Impostors()
const workshop = new Workshop()
const started: (() => void)[] = []
afterAll(() => {
  for (const kill of started) kill()
  impostors[Symbol.dispose]()
  workshop[Symbol.dispose]()
})

function begun() {
  const agent = workshop.start()
  started.push(agent.kill)
  return agent
}

/** Without patience for who hangs, or for who does nothing. */
const HANGING = { lookMs: 20, answerMs: 2_000, settleMs: 60_000, aloneMs: 10_000 }
const LAZY = { lookMs: 20, answerMs: 30_000, settleMs: 1_500, aloneMs: 10_000 }

/** Watches a machine whose channel leads to each of these, one after the other. */
function watch(patience: AgentPatience, ...channels: readonly (() => Promise<Duplex> | Duplex)[]) {
  const left = [...channels]
  const connect = async () => await left.shift()?.()
  return new Agent({ connect, runs: () => true, patience })
}

test("one that hangs before it has done what comes first is called again [OVMS-AGT-037, OVMS-AGT-100]", async () => {
  const real = begun()
  const nothing = () => impostors.connect(() => [])
  const turned = Promise.withResolvers<Duplex>()
  const agent = watch(HANGING, nothing, () => turned.promise)
  await until("it was given up", () => agent.silence !== undefined)
  expect(agent.silence).toMatch(
    /^its agent was given up at 20\S+Z, since it does not answer: it is called again$/,
  )
  expect(agent.state).toEqual({ ready: false })
  expect(await agent.session(1).catch(({ code }) => code)).toBe("OVM_AGENT_UNAVAILABLE")
  turned.resolve(real.channel)
  const session = await agent.session(30_000)
  expect(await session.do(["exec", "argument=true"]).ending).toEqual({ status: 0 })
  expect(agent.silence).toBeUndefined()
  agent.close()
})

test("one that says that it is there, and does nothing of what each has to do, is given up too [OVMS-AGT-100]", async () => {
  const asked: string[] = []
  const lazy = () =>
    impostors.connect(
      (_, [kind = ""]) => {
        asked.push(kind)
        return []
      },
      undefined,
      true,
    )
  const agent = watch(LAZY, lazy, lazy)
  await until("it was begun anew", () => asked.length === 2)
  expect(asked).toEqual(["reseed", "reseed"])
  expect(agent.silence).toContain("it does not do what it is asked")
  agent.close()
})

test("the source of a snapshot that is not reseeded is called anew, and reseeded then [OVMS-AGT-055, OVMS-AGT-100]", async () => {
  const asked: string[] = []
  const once = () => {
    let count = 0
    return impostors.connect(
      (stream, [kind = ""]) => {
        asked.push(kind)
        return count++ === 0 ? [exit(stream)] : []
      },
      undefined,
      true,
    )
  }
  const agent = watch(LAZY, once, once)
  const first = await agent.session(10_000)
  agent.renew()
  expect(await first.closed).toBe("it does not do what it is asked")
  expect(await agent.session(10_000)).not.toBe(first)
  expect(asked).toEqual(["reseed", "reseed", "reseed"])
  agent.close()
})

test("one that is stopped in the middle of a command is given up, and the one after it serves [OVMS-AGT-037]", async () => {
  const [stopped, next] = [begun(), begun()]
  const agent = watch(
    HANGING,
    () => stopped.channel,
    () => next.channel,
  )
  const session = await agent.session(10_000)
  const command = session.do(["exec", "argument=sleep", "argument=600"])
  process.kill(stopped.pid, "SIGSTOP")
  expect(await command.ending.catch(({ code }) => code)).toBe("OVM_AGENT_UNAVAILABLE")
  const again = await agent.session(30_000)
  expect(await again.do(["exec", "argument=true"]).ending).toEqual({ status: 0 })
  expect(agent.silence).toBeUndefined()
  agent.close()
})
