import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Bed, report, WRAPPER } from "../bed.ts"
import { compilerMissing, PATCHED, wrongAgent } from "./agent-source.ts"
import { AGENT_SOURCES, AGENTS } from "./table.ts"

// ovm's agent behind something that changes one thing that it says, or of a source that is wrong in one.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

async function verdicts(fault: string, only: string) {
  const settings = `FAULT='${fault}' MUTANT_REAL='${join(WRAPPER, "../ovm-agent")}'`
  const command = `${settings} exec '${process.execPath}' '${join(import.meta.dir, "agent.ts")}'`
  const script = await bed.script(fault.replaceAll(" ", "-") || "none", command)
  const { results } = await report(["agent", script, "--only", only, "--limit", "60"])
  return results
}

test.each(AGENTS.map((one) => [one.fault, one] as const))(
  "an agent that %s is caught",
  async (fault, one) => {
    const results = (await verdicts(fault, one.check)).filter(({ name }) => name === one.check)
    expect(results.map(({ verdict }) => verdict)).toEqual(["fail"])
    expect(results[0]?.covers).toContain(one.requirement)
  },
)

if (compilerMissing) console.log(`SKIP packages/conformance/test/mutants/agents.test.ts: ${compilerMissing}`)

test("every patch is one of the table", () => {
  expect(AGENT_SOURCES.map(({ fault }) => fault).sort()).toEqual([...PATCHED].sort())
})

test.skipIf(Boolean(compilerMissing)).each(AGENT_SOURCES.map((one) => [one.fault, one] as const))(
  "an agent that %s is caught",
  async (fault, one) => {
    const folder = join(bed.folder, fault.replaceAll(/\W/g, "-"))
    const agent = await wrongAgent(fault, folder)
    const script = await bed.script(`of-${fault.replaceAll(/\W/g, "-")}`, `exec '${agent}' 3`)
    const { results } = await report(["agent", script, "--only", one.check, "--limit", "60"])
    expect(results.map(({ name, verdict }) => [name, verdict])).toEqual([[one.check, "fail"]])
    expect(results[0]?.covers).toContain(one.requirement)
  },
)

test("without a fault they pass", async () => {
  const results = await verdicts("", "agent/")
  expect(
    results.filter(({ verdict }) => verdict !== "pass").map(({ name, reason }) => `${name}: ${reason}`),
  ).toEqual([])
})
