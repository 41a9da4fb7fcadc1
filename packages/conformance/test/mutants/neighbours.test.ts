import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { worldMissing } from "@ovms/testkit/world.ts"
import type { Result } from "../../src/result.ts"
import { Bed, OVM, report, WRAPPER } from "../bed.ts"
import { NEIGHBOURS } from "./table.ts"

// ovm in a network namespace, behind something that is wrong in all of the table at once: each check sees its own.

const skip =
  worldMissing() ||
  (existsSync("/usr/sbin/dnsmasq") && existsSync("/usr/sbin/nft") ? "" : "no dnsmasq, or no nft")
if (skip) console.log(`SKIP packages/conformance/test/mutants/neighbours.test.ts: ${skip}`)

/** What is behind another fault, in a run of its own. */
const ALONE = { fault: "lets clones into a network", check: "runtime/networks/fork" }

let results: readonly Result[] = []
let alone: readonly Result[] = []
let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
  if (skip) return
  const verdicts = async (fault: string, only: string) => {
    const settings = `FAULT='${fault}' OVM='${OVM}' MUTANT_REAL='${join(WRAPPER, "../ovm-runtime")}'`
    const command = `${settings} exec '${process.execPath}' '${join(import.meta.dir, "neighbours.ts")}'`
    const script = await bed.script(fault.replaceAll(" ", "-") || "neighbours", command)
    return (await report(["runtime", "--start", script, "--only", only])).results
  }
  results = await verdicts("", "runtime/networks/")
  alone = await verdicts(ALONE.fault, ALONE.check)
}, 400_000)
afterAll(() => bed[Symbol.asyncDispose]())

test.skipIf(Boolean(skip)).each(NEIGHBOURS.map((one) => [one.fault, one] as const))(
  "a runtime that %s is caught",
  (_, one) => {
    const found = (one.fault === ALONE.fault ? alone : results).filter(({ name }) => name === one.check)
    expect(found.map(({ verdict, reason }) => `${verdict}: ${reason}`)).toEqual([
      expect.stringMatching(/^fail: /),
    ])
    expect(found[0]?.covers).toContain(one.requirement)
  },
)
