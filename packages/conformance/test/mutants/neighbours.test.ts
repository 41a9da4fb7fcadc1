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

let results: readonly Result[] = []
let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
  if (skip) return
  const settings = `OVM='${OVM}' MUTANT_REAL='${join(WRAPPER, "../ovm-runtime")}'`
  const command = `${settings} exec '${process.execPath}' '${join(import.meta.dir, "neighbours.ts")}'`
  const start = ["runtime", "--start", await bed.script("neighbours", command)]
  results = (await report([...start, "--only", "runtime/networks/"])).results
}, 300_000)
afterAll(() => bed[Symbol.asyncDispose]())

test.skipIf(Boolean(skip)).each(NEIGHBOURS.map((one) => [one.fault, one] as const))(
  "a runtime that %s is caught",
  (_, one) => {
    const found = results.filter(({ name }) => name === one.check)
    expect(found.map(({ verdict, reason }) => `${verdict}: ${reason}`)).toEqual([
      expect.stringMatching(/^fail: /),
    ])
    expect(found[0]?.covers).toContain(one.requirement)
  },
)
