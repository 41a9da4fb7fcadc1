import { expect, test } from "bun:test"
import { join } from "node:path"
import { wideFunctions } from "../../../scripts/declarations.ts"

const ROOT = join(import.meta.dir, "../../..")

/** What more go together is a thing that has a name. */
const MOST = 4

const FOLDERS = ["packages/*/src/**", "packages/*/test/**", "bench", "scripts"]

test(`no function takes more than ${MOST} parameters`, async () => {
  const found: string[] = []
  let count = 0
  for (const folder of FOLDERS)
    for await (const file of new Bun.Glob(`${folder}/*.ts`).scan(ROOT)) {
      if (/\/generated\//.test(file)) continue
      found.push(...wideFunctions(file, await Bun.file(join(ROOT, file)).text(), MOST))
      count++
    }
  expect(count).toBeGreaterThan(350)
  expect(found.sort()).toEqual([])
})

test("every kind of function counts", () => {
  const text = `
    function declared(this: unknown, a, b) {}
    class C { constructor(a, private b, { c, d }) {}; method(a, b, ...c) {}; set one(a) {} }
    const arrow = (a, b, c) => (d, e) => {}
    type T = (a, b, c) => void
    interface I { member(a, b, c): void; new (a, b, c): I }
    use(function (a, b, c) {})`
  const found = ["3 constructor(3)", "3 method(3)", "4 arrow(3)", "5 T(3)", "6 member(3)", "6 I(3)", "7 (3)"]
  expect(wideFunctions("x.ts", text, 2)).toEqual(found.map((one) => `x.ts:${one}`))
})
