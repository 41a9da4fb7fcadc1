import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Bed, OVM, report, WRAPPER } from "../bed.ts"
import { OPERATORS, OWN_RUNTIMES } from "./table.ts"

// ovm behind something that changes the policy before ovm reads it, or what it answers of what is its own.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

async function verdicts(fault: string, only: string) {
  const settings = `FAULT='${fault}' OVM='${OVM}' MUTANT_REAL='${join(WRAPPER, "../ovm-runtime")}'`
  const command = `${settings} exec '${process.execPath}' '${join(import.meta.dir, "lax.ts")}'`
  const script = await bed.script(fault.replaceAll(" ", "-") || "none", command)
  const { results } = await report(["runtime", "--start", script, "--only", only, "--limit", "90"])
  return results
}

/** It is seen after a minute: it is begun before the others. */
const SLOW = OWN_RUNTIMES.filter(({ check }) => check === "runtime/bounds/time-of-a-request")
const begun = new Map<string, ReturnType<typeof verdicts>>()
beforeAll(() => {
  for (const { fault, check } of SLOW) {
    const found = verdicts(fault, check)
    // Its own test is told.
    found.catch(() => {})
    begun.set(fault, found)
  }
})

test.each([...OPERATORS, ...OWN_RUNTIMES].map((one) => [one.fault, one] as const))(
  "a runtime that %s is caught",
  async (fault, one) => {
    const results = (await (begun.get(fault) ?? verdicts(fault, one.check))).filter(
      ({ name }) => name === one.check,
    )
    expect(results.map(({ verdict }) => verdict)).toEqual(["fail"])
    expect(results[0]?.covers).toContain(one.requirement)
  },
)

test("without a fault they pass", async () => {
  const results = await verdicts("", "policy/snapshot-signed")
  expect(results.map(({ verdict }) => verdict)).toEqual(["pass"])
})
