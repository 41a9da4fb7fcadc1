import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Bed, OVM, report, WRAPPER } from "../bed.ts"
import { STARTERS } from "./table.ts"

// ovm by a command that starts it in another way than it should.

const BEFORE: Readonly<Record<string, string>> = {
  "leaves its socket to others": "sleep 60 &",
  "knows no folder of configuration": "export XDG_CONFIG_HOME=/nowhere",
}

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

test.each(STARTERS.map((one) => [one.fault, one] as const))(
  "a runtime that %s is caught",
  async (fault, { check, requirement }) => {
    const line = `OVM='${OVM}' exec '${join(WRAPPER, "../ovm-runtime")}'`
    const script = await bed.script(fault.replaceAll(" ", "-"), `${BEFORE[fault]}\n${line}`)
    const { results } = await report(["runtime", "--start", script, "--only", check, "--limit", "60"])
    expect(results.map(({ verdict, reason }) => [verdict, reason])).toEqual([["fail", expect.any(String)]])
    expect(results[0]?.covers).toContain(requirement)
  },
)
