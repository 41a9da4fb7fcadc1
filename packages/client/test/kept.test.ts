import { expect, test } from "bun:test"
import { KeptConnections } from "../src/kept.ts"

test("a connection is used again while all that are kept are fresh", () => {
  const kept = new KeptConnections()
  expect(kept.take(0)).toBe(true)
  kept.done(10)
  expect(kept.take(9500)).toBe(true)
  kept.done(9510)
  expect(kept.take(19_000)).toBe(true)
})

test("after several at a time, one old one is enough to make another; at some time it is gone", () => {
  const kept = new KeptConnections()
  for (let one = 0; one < 3; one++) expect(kept.take(0)).toBe(true)
  for (const at of [5, 6, 7]) kept.done(at)
  expect(kept.take(1000)).toBe(true)
  kept.done(1001)
  expect(kept.take(10_500)).toBe(false)
  expect(kept.take(60_000)).toBe(false)
  expect(kept.take(61_100)).toBe(true)
})
