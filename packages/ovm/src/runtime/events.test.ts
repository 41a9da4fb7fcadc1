import { expect, test } from "bun:test"
import { EventLog } from "./events.ts"
import type { Instance } from "./instance.ts"
import type { RuntimeEvent } from "./interfaces.ts"

const web = { info: { instance_id: "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516", name: "web" } } as Instance

function filled(count: number): EventLog {
  const log = new EventLog()
  for (let at = 0; at < count; at++) log.tell("paused", web, { reason: `${at}` })
  return log
}

async function all(events: AsyncIterable<RuntimeEvent>): Promise<RuntimeEvent[]> {
  return await Array.fromAsync(events)
}

const said = (events: readonly RuntimeEvent[]) => events.map(({ type, reason }) => reason ?? type)

test("what is of no interest to others is not told", async () => {
  const log = filled(1)
  log.tell("unrecorded", web, {})
  expect(await all(log.read({}))).toMatchObject([{ type: "paused", name: "web", reason: "0" }])
})

// OVMS-API-232
test("who comes back goes on behind the last event that it saw", async () => {
  const log = filled(5)
  const [, second] = await all(log.read({}))
  expect(said(await all(log.read({ after: second?.id ?? "" })))).toEqual(["2", "3", "4"])
  const last = (await all(log.read({}))).at(-1)
  expect(await all(log.read({ after: last?.id ?? "" }))).toEqual([])
})

// OVMS-API-231, OVMS-API-232
test("1,024 are kept; what is gone, of another daemon or no id at all is told as lost, once", async () => {
  const log = filled(1030)
  const kept = await all(log.read({}))
  expect([kept.length, ...said([kept[0] as RuntimeEvent])]).toEqual([1024, "6"])
  const [lost, next] = await all(log.read({ after: (await all(filled(1).read({})))[0]?.id ?? "" }))
  expect([lost?.type, next?.reason]).toEqual(["lost", "6"])
  expect(said(await all(log.read({ after: lost?.id ?? "" })))).toEqual(said(kept))
  const daemon = lost?.id.split("-")[0]
  for (const after of ["", "-", "x", `${daemon}-2`, `${daemon}-9999`, `${daemon}--1`, `${daemon}-1e3`])
    expect(said(await all(log.read({ after }))).slice(0, 2)).toEqual(["lost", "6"])
})

// OVMS-API-235
test("what is lost is of the time of the last event that is, and before there was one of the beginning", async () => {
  const began = new Date().toISOString()
  const log = filled(0)
  const [lost] = await all(log.read({ after: "x" }))
  expect(lost?.time && lost.time >= began && lost.time <= new Date().toISOString()).toBe(true)
  for (let at = 0; at < 1024; at++) log.tell("paused", web, {})
  const [first] = await all(log.read({}))
  await Bun.sleep(5)
  log.tell("paused", web, {})
  const [gone, next] = await all(log.read({ after: "x" }))
  expect([gone?.type, gone?.time]).toEqual(["lost", first?.time])
  expect((next?.time ?? "") >= (gone?.time ?? "")).toBe(true)
})

// OVMS-API-233
test("a reader that is too slow is told, and goes on with what is kept", async () => {
  const log = filled(2)
  const stop = new AbortController()
  const slow = log.read({ follow: true, signal: stop.signal })
  expect((await slow.next()).value?.reason).toBe("0")
  for (let at = 2; at < 2000; at++) log.tell("paused", web, { reason: `${at}` })
  expect((await slow.next()).value?.type).toBe("lost")
  expect((await slow.next()).value?.reason).toBe(`${2000 - 1024}`)
  stop.abort()
  expect((await slow.next()).done).toBe(true)
})

test("one that follows waits for what comes, and ends when it is told to", async () => {
  const log = filled(0)
  const stop = new AbortController()
  const reading = log.read({ follow: true, signal: stop.signal })
  const next = reading.next()
  log.tell("removed", web, {})
  expect((await next).value?.type).toBe("removed")
  const over = reading.next()
  stop.abort()
  expect((await over).done).toBe(true)
})
