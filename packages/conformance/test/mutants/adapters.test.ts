import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { ADAPTER, Bed, report } from "../bed.ts"
import { PATCHED, wrongAdapter } from "./adapter-source.ts"
import { ADAPTER_SOURCES, ADAPTERS } from "./table.ts"

// The example adapter behind something that changes one thing that it says, or of a source that is wrong in one.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

/** What takes a right that a host need not give. */
const SKIPS = ["no file system of its own can be mounted on this host"]

const skip = Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)"
if (skip) console.log(`SKIP packages/conformance/test/mutants/adapters.test.ts: ${skip}`)

test.skipIf(Boolean(skip)).each(ADAPTERS.map((one) => [one.fault, one] as const))(
  "an adapter that %s is caught",
  async (fault, one) => {
    const settings = `FAULT='${fault}' MUTANT_REAL='${ADAPTER}'`
    const script = `${settings} exec '${process.execPath}' '${join(import.meta.dir, "adapter.ts")}'`
    const program = await bed.script("ovm-vmm-pyqemu", script)
    const { results } = await report(["adapter", program, "--only", one.check, "--limit", "90"])
    const [result] = results.filter(({ name }) => name === one.check)
    expect(result?.covers).toContain(one.requirement)
    expect(result?.verdict).toBe("fail")
  },
)

test("every patch is one of the table", () => {
  expect(ADAPTER_SOURCES.map(({ fault }) => fault).sort()).toEqual([...PATCHED].sort())
})

test.skipIf(Boolean(skip)).each(ADAPTER_SOURCES.map((one) => [one.fault, one] as const))(
  "an adapter that %s is caught",
  async (fault, one) => {
    const program = await wrongAdapter(fault, join(bed.folder, fault.replaceAll(/\W/g, "-")))
    const { results } = await report(["adapter", program, "--only", one.check, "--limit", "90"])
    expect(results.map(({ name, verdict }) => [name, verdict])).toEqual([[one.check, "fail"]])
    expect(results[0]?.covers).toContain(one.requirement)
  },
)

test.skipIf(Boolean(skip))("the adapter itself passes everything [OVMS-ADP-010, OVMS-ADP-034]", async () => {
  const { results, status } = await report(["adapter", ADAPTER])
  const wrong = results.filter(({ verdict, reason }) => verdict !== "pass" && !SKIPS.includes(reason ?? ""))
  expect(wrong.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
  expect(status).toBe(0)
  expect(results.length).toBeGreaterThanOrEqual(50)
})
