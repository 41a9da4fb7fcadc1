import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { writeLayout } from "../../src/artifact/layout.ts"
import { BASE } from "../../src/checks/build/stage.ts"
import { Bed, report } from "../bed.ts"
import { BUILDERS } from "./table.ts"

// Builds whose steps are done in a machine, by a builder that has none: what is judged is what it says it made.

let bed: Bed
let linux: string
beforeAll(async () => {
  bed = await Bed.create()
  linux = await writeLayout(join(bed.folder, "linux"), BASE)
})
afterAll(() => bed[Symbol.asyncDispose]())

async function verdicts(fault: string, only: string) {
  const command = `FAULT='${fault}' exec '${process.execPath}' '${join(import.meta.dir, "builder.ts")}' "$@"`
  const script = await bed.script(fault.replaceAll(" ", "-") || "none", command)
  const { results } = await report(["wrapper", script, "--linux", linux, "--only", only, "--limit", "60"])
  return results
}

test.each(BUILDERS.map((one) => [one.fault, one] as const))(
  "a builder that %s is caught",
  async (fault, { check, requirement }) => {
    const [found] = await verdicts(fault, check)
    expect(found?.verdict).toBe("fail")
    expect(found?.covers).toContain(requirement)
  },
)

test("without a fault it passes", async () => {
  const found = await verdicts("", "build/in-a-machine")
  expect(found.map(({ verdict, reason }) => `${verdict} ${reason}`)).toEqual(["pass undefined"])
})
