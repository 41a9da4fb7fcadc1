import { expect, test } from "bun:test"
import { Demand } from "./demand.ts"

test("what was needed at once is expected again for a while, and then no more", () => {
  const demand = new Demand()
  expect(demand.of("a:1", 0)).toBe(0)
  const ends = [0, 1, 2].map((at) => demand.begin("a:1", at))
  expect(demand.of("a:1", 3)).toBe(3)
  expect(demand.of("b:1", 3)).toBe(0)
  for (const end of ends.slice(1)) end()
  expect(demand.of("a:1", 20_000)).toBe(3)
  // One of them still runs.
  expect(demand.of("a:1", 40_000)).toBe(1)
  ends[0]?.()
  expect(demand.of("a:1", 41_000)).toBe(1)
  expect(demand.of("a:1", 80_000)).toBe(0)
})

test("one after the other needs one, however many", () => {
  const demand = new Demand()
  for (let at = 0; at < 1000; at++) demand.begin("a:1", at)()
  expect(demand.of("a:1", 1000)).toBe(1)
})

test("what is forgotten is not needed any more, though it is used still", () => {
  const demand = new Demand()
  const ends = [0, 1].map((at) => demand.begin("a:1", at))
  demand.forget("a:1")
  expect(demand.of("a:1", 2)).toBe(0)
  expect(demand.of("a:1", 60_000)).toBe(0)
  demand.begin("a:1", 60_001)
  for (const end of ends) end()
  expect(demand.of("a:1", 60_002)).toBe(1)
})
