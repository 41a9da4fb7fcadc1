import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { Harness } from "../../src/subject/harness.ts"
import { Bed, OVM, report, WRAPPER } from "../bed.ts"
import { FAULTS, serveFault } from "./proxy.ts"
import { type Mutant, RUNTIMES } from "./table.ts"

// ovm behind a proxy that changes one thing that it is asked, or answers.

let bed: Bed
let harness: Harness
beforeAll(async () => {
  bed = await Bed.create()
  harness = await Harness.create(`env OVM='${OVM}' '${join(WRAPPER, "../ovm-runtime")}'`)
  await harness.start(AbortSignal.timeout(60_000))
}, 120_000)
afterAll(async () => {
  await harness.close()
  await bed[Symbol.asyncDispose]()
}, 60_000)

async function verdicts(fault: string, ...checks: readonly string[]) {
  const socket = join(bed.folder, `${fault.replaceAll(" ", "-")}.sock`)
  const end = await serveFault(harness.socket, socket, FAULTS[fault] ?? {})
  try {
    const found = []
    for (const check of checks)
      found.push(...(await report(["runtime", "--socket", socket, "--only", check, "--limit", "90"])).results)
    return found
  } finally {
    end()
  }
}

test("every fault of the table is one", () => {
  expect(RUNTIMES.map(({ fault }) => fault).sort()).toEqual(Object.keys(FAULTS).sort())
})

/** What these do is seen only by what does not come: the suite waits for it for a minute, and so for all at once. */
const WAITED_FOR = ["restarts nothing", "starts again without an end", "gives clones one ID"]
const waits = ({ fault }: Mutant) => WAITED_FOR.includes(fault)

const begun = new Map<string, ReturnType<typeof verdicts>>()
function verdictsOf(one: Mutant): ReturnType<typeof verdicts> {
  if (!waits(one)) return verdicts(one.fault, one.check)
  if (begun.size === 0)
    for (const { fault, check } of RUNTIMES.filter(waits)) {
      const found = verdicts(fault, check)
      // Its own test is told.
      found.catch(() => {})
      begun.set(fault, found)
    }
  return begun.get(one.fault) as ReturnType<typeof verdicts>
}

test.each(
  RUNTIMES.toSorted((a, b) => Number(waits(b)) - Number(waits(a))).map((one) => [one.fault, one] as const),
)("a runtime that %s is caught", async (_, one) => {
  const results = (await verdictsOf(one)).filter(({ name }) => name === one.check)
  expect(results.map(({ verdict }) => verdict)).toEqual(["fail"])
  expect(results[0]?.covers).toContain(one.requirement)
})

// That all checks pass without the proxy is in ovm.test.ts; these show that the proxy itself breaks nothing.
test("without a fault they pass", async () => {
  const checks = [
    "runtime/methods",
    "runtime/logs-follow",
    "runtime/network/ports",
    "runtime/snapshot/goes-on",
  ]
  const results = await verdicts("none", ...checks)
  const wrong = results.filter(({ verdict }) => verdict !== "pass")
  expect(wrong.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
})
