import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Glob } from "bun"

const ROOT = join(import.meta.dir, "../../..")
const LINK = /\]\((?!https?:)([^)#\s]+)[^)]*\)/g

test("every link of the documents leads to a file that is there", async () => {
  const pages = await Array.fromAsync(new Glob("**/*.md").scan({ cwd: ROOT }))
  const broken = pages
    .filter((page) => !page.includes("node_modules") && !page.startsWith("dist/"))
    .flatMap((page) =>
      [...readFileSync(join(ROOT, page), "utf8").matchAll(LINK)]
        .map(([, target = ""]) => target)
        .filter((target) => !existsSync(join(ROOT, dirname(page), target)))
        .map((target) => `${page}: ${target}`),
    )
  expect(pages.length).toBeGreaterThan(20)
  expect(broken).toEqual([])
})

test("the README says as many seeded faults as there are", () => {
  const [said, are] = [
    /(\d+) seeded faults/.exec(readFileSync(join(ROOT, "README.md"), "utf8")),
    /: (\d+) implementations/.exec(readFileSync(join(ROOT, "docs/conformance/faults.md"), "utf8")),
  ].map((found) => Number(found?.[1]))
  expect(are).toBeGreaterThan(300)
  expect(said).toBe(are)
})
