import { expect, test } from "bun:test"
import { until } from "./until.ts"

test("until gives what it waited for", async () => {
  let at = 0
  expect(await until("three", () => ++at, { is: (value) => value === 3, everyMs: 0 })).toBe(3)
  expect(await until("something", async () => (at++ > 5 ? { at } : undefined), { everyMs: 0 })).toEqual({
    at: 7,
  })
})

test("until gives up at its deadline, and says what it saw last", async () => {
  const waiting = until("the state is running", () => ({ state: "starting" }), {
    is: ({ state }) => state === "running",
    deadlineMs: 20,
  })
  await expect(waiting).rejects.toThrow(/^the state is running: not within 20 ms; last seen: .*"starting"/s)
  const long = until("the word", () => `${"x".repeat(5000)} the end`, { is: () => false, deadlineMs: 0 })
  await expect(long).rejects.toThrow(/last seen: …x+ the end$/)
  const broken = until("anything", () => Promise.reject(new Error("it is gone")))
  await expect(broken).rejects.toThrow("it is gone")
})
