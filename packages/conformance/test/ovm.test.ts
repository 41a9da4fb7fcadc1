import { expect, test } from "bun:test"
import { report, WRAPPER } from "./bed.ts"

// OVMS-CNF-010 to OVMS-CNF-014: the reference implementation behind its wrapper.

test("ovm passes all that it does not skip, and skips what it cannot be asked", async () => {
  const { status, results } = await report(["wrapper", WRAPPER])
  const bad = results.filter(({ verdict }) => verdict === "fail" || verdict === "error")
  expect(bad.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
  expect(status).toBe(0)
  const skipped = new Set(results.filter(({ verdict }) => verdict === "skip").map(({ reason }) => reason))
  expect([...skipped].sort()).toEqual([
    "the wrapper does not validate evidence",
    "the wrapper does not validate ram",
  ])
  expect(results.filter(({ verdict }) => verdict === "pass").length).toBeGreaterThan(500)
})
