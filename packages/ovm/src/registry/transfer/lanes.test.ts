import { expect, test } from "bun:test"
import { Lanes, RegistryLanes } from "./lanes.ts"

/** How many may enter at once. */
async function open(lanes: Lanes): Promise<number> {
  let entered = 0
  const stop = new AbortController()
  const all = Array.from({ length: 20 }, async () => {
    using _ = await lanes.enter({ signal: stop.signal })
    entered++
    await new Promise((resolve) => stop.signal.addEventListener("abort", resolve))
  })
  // Whoever may enter does so without waiting for anything else.
  await new Promise(setImmediate)
  const count = entered
  stop.abort()
  await Promise.allSettled(all)
  return count
}

test("a registry has a few lanes, fewer if the operator says so, and half of them after a complaint", async () => {
  const lanes = new Lanes()
  const before = await open(lanes)
  expect(before).toBe(lanes.width)
  lanes.backOff()
  expect(await open(lanes)).toBe(before >> 1)
  lanes.backOff()
  lanes.backOff()
  expect(await open(lanes)).toBe(1)
  expect(await open(new Lanes(2))).toBe(2)
})

test("a registry that asks for a pause gets it, on all lanes", async () => {
  const lanes = new Lanes()
  lanes.backOff(60_000)
  expect(await open(lanes)).toBe(0)
  const short = new Lanes()
  short.backOff(1)
  // Both are let in when it is over, and the width is what one complaint left.
  const width = short.width
  const entered = await Promise.all(Array.from({ length: width }, () => short.enter()))
  expect(entered).toHaveLength(width)
})

test("lanes to one registry are shared by those who share the value, and their limit is the last one said", async () => {
  const registries = new RegistryLanes()
  const lanes = registries.to("registry.test:5000")
  expect(registries.to("registry.test:5000")).toBe(lanes)
  expect(registries.to("other.test")).not.toBe(lanes)
  expect(new RegistryLanes().to("registry.test:5000")).not.toBe(lanes)
  expect(await open(lanes)).toBe(3)
  registries.to("registry.test:5000", 2)
  expect(await open(lanes)).toBe(2)
  registries.to("registry.test:5000", 1)
  expect(await open(lanes)).toBe(1)
})
