import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Bed, report } from "../bed.ts"
import { DECIDERS } from "./table.ts"

// A verifier that has no runtime, and a policy that it takes otherwise: ovm's judge behind a change of what it is told.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

async function verdicts(fault: string, only: string) {
  const command = `FAULT='${fault}' exec '${process.execPath}' '${join(import.meta.dir, "decider.ts")}' "$@"`
  const script = await bed.script(fault.replaceAll(" ", "-") || "right", command)
  const { results } = await report(["wrapper", script, "--only", only, "--limit", "60"])
  return results
}

test.each(DECIDERS.map((one) => [one.fault, one] as const))(
  "a verifier that %s is caught",
  async (fault, one) => {
    const results = (await verdicts(fault, one.check)).filter(({ name }) => name === one.check)
    expect(results.map(({ verdict }) => verdict)).toEqual(["fail"])
    expect(results[0]?.covers).toContain(one.requirement)
  },
)

test("without a fault all decisions are right", async () => {
  const results = await verdicts("", "decision-")
  const wrong = results.filter(({ verdict }) => verdict !== "pass")
  expect(wrong.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
  expect(results.length).toBeGreaterThan(150)
})
