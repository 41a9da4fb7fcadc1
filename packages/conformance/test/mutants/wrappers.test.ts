import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { loadSuite } from "../../src/suite.ts"
import { Bed, report, WRAPPER } from "../bed.ts"
import { BELIEVERS, FORGETFUL, IMPORTERS, type Mutant, PACKERS, PULLERS, PUSHERS } from "./table.ts"

// A check that no wrong implementation fails is worth nothing: each of these is wrong in one thing.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

function mutant(fault: string, kind = ""): Promise<string> {
  const settings = `FAULT='${fault}' MUTANT='${kind}' MUTANT_REAL='${WRAPPER}'`
  return bed.script(
    fault.replaceAll(/[ /]/g, "-") || `right-${kind}`,
    `${settings} exec '${process.execPath}' '${join(import.meta.dir, "wrapper.ts")}' "$@"`,
  )
}

async function caught({ fault, requirement, check }: Mutant, kind?: string): Promise<void> {
  const suite = await loadSuite()
  const named = suite.wrapper.find(
    ({ name, covers }) => name.startsWith(check) && covers.includes(requirement),
  )
  expect(named, `${check} covers ${requirement}`).toBeDefined()
  const only = named?.name ?? check
  const { results } = await report(["wrapper", await mutant(fault, kind), "--only", only, "--limit", "60"])
  expect(results.filter(({ verdict }) => verdict === "error")).toEqual([])
  const catching = results.filter(({ verdict, covers }) => verdict === "fail" && covers.includes(requirement))
  expect(catching.length, `${fault} survives ${check}`).toBeGreaterThan(0)
}

test.each([...FORGETFUL, ...BELIEVERS, ...PACKERS, ...IMPORTERS].map((one) => [one.fault, one] as const))(
  "ovm that %s is caught",
  (_, one) => caught(one),
)

test.each(PULLERS.map((one) => [one.fault, one] as const))("a puller that %s is caught", (_, one) =>
  caught(one, "puller"),
)

test.each(PUSHERS.map((one) => [one.fault, one] as const))("a pusher that %s is caught", (_, one) =>
  caught(one, "pusher"),
)

test("without a fault they pass", async () => {
  for (const [kind, only] of [
    ["puller", "pull/,credentials/token"],
    ["pusher", "push/whole,push/order,push/base,push/no,push/blob,push/layout,credentials/push"],
    ["", "pack/"],
    ["", "verify/"],
  ]) {
    const { results } = await report(["wrapper", await mutant("", kind), "--only", only ?? ""])
    const wrong = results.filter(({ verdict }) => verdict !== "pass")
    expect(wrong.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
    expect(results.length).toBeGreaterThan(5)
  }
})
