import { describe, expect, test } from "bun:test"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { circles, diagram, folders, specifiers, violations } from "./imports.ts"

const ROOT = join(import.meta.dir, "../../..")
const SOURCE = "packages/ovm/src"

async function sources(name: string): Promise<string[]> {
  const folder = join("packages", name, "src")
  const names = await readdir(join(ROOT, folder), { recursive: true })
  return names
    .filter((name) => /\.tsx?$/.test(name))
    .sort()
    .map((name) => join(folder, name))
}

describe("imports go one way", () => {
  test("in every source file of every package", async () => {
    const names = (await readdir(join(ROOT, "packages"))).filter((name) => name !== "testkit")
    expect(names).toContain("client")
    const found: string[] = []
    for (const file of (await Promise.all(names.map(sources))).flat())
      found.push(...violations(file, await readFile(join(ROOT, file), "utf8")))
    expect(found).toEqual([])
  })

  test("and every folder has its rule", async () => {
    const entries = await readdir(join(ROOT, SOURCE), { withFileTypes: true })
    const unknown = entries.filter((entry) => entry.isDirectory() && !folders.includes(entry.name))
    expect(unknown.map((entry) => entry.name)).toEqual([])
  })
})

test("no files import each other in a circle, inside a folder neither", async () => {
  const texts = new Map<string, string>()
  for (const name of await readdir(join(ROOT, "packages")))
    for (const file of await sources(name)) texts.set(file, await readFile(join(ROOT, file), "utf8"))
  expect(texts.size).toBeGreaterThan(500)
  expect(circles(texts)).toEqual([])
})

test("the page that draws the arrows draws these", async () => {
  expect(await readFile(join(ROOT, "docs/architecture.md"), "utf8")).toContain(diagram())
})

describe("the rules themselves", () => {
  const judge = (file: string, specifier: string) =>
    violations(join(SOURCE, file), `import { x } from "${specifier}"`)

  test.each([
    ["registry/store.ts", "../content/digest.ts"],
    ["cli/commands/run.ts", "../../content/digest.ts"],
    ["vmm/qemu/launch.ts", "../../errors.ts"],
    ["errors.ts", "@ovms/spec/errors.json"],
    ["version.ts", "../package.json"],
    ["vmm/process/keeper-program.ts", "../../../../shim/dist/ovm-keeper"],
    ["guest/agent/program.ts", "../../../../agent/dist/ovm-agent"],
    ["content/layout.test.ts", "@ovms/testkit/disks.ts"],
    ["content/layout.test.ts", "../registry/store.ts"],
    ["disk/qcow2.ts", "node:fs"],
    ["api/client.ts", "@ovms/client"],
    ["runtime/interfaces.ts", "@ovms/client"],
    ["../../client/src/errors.ts", "./wire.ts"],
    ["../../client/src/errors.ts", "@ovms/spec/errors.json"],
    ["../../client/src/exchange.ts", "node:http"],
  ])("%s may import %s", (file, specifier) => {
    expect(judge(file, specifier)).toEqual([])
  })

  test.each([
    ["content/layout.ts", "../registry/store.ts", "content/ does not build on registry/"],
    ["registry/store.ts", "../artifact/pack.ts", "registry/ does not build on artifact/"],
    ["runtime/local.ts", "../api/server.ts", "runtime/ does not build on api/"],
    ["errors.ts", "./content/digest.ts", "files directly in src/ build on no folder but files/"],
    ["content/layout.ts", "./store.suite.ts", "it is a test"],
    ["content/layout.ts", "./store.testing.ts", "it is a test"],
    ["content/layout.ts", "@ovms/testkit/disks.ts", "only tests may use testkit"],
    ["content/layout.test.ts", "../../../testkit/src/disks.ts", "it is called @ovms/testkit"],
    ["content/layout.ts", "../../test/imports.ts", "it is not part of ovm's sources"],
    ["content/layout.ts", "../../../shim/src/keeper.h", "it is not part of ovm's sources"],
    ["content/layout.ts", "@ovms/client", "only api/ and runtime/ speak the API"],
    ["errors.ts", "../../../spec/errors.json", "it is called @ovms/spec"],
    ["api/client.ts", "../../../client/src/client.ts", "it is not part of ovm's sources"],
    ["../../client/src/x.ts", "../../ovm/src/errors.ts", "a package for others builds on spec/ alone"],
    ["../../client/src/x.ts", "commander", "a package for others builds on spec/ alone"],
    ["../../client/src/x.ts", "@ovms/testkit/until.ts", "only tests may use testkit"],
  ])("%s may not import %s", (file, specifier, reason) => {
    expect(judge(file, specifier)).toEqual([`${join(SOURCE, file)} imports ${specifier}: ${reason}`])
  })

  test.each([
    ["two", { a: "b", b: "a" }, ["x/a.ts → x/b.ts → x/a.ts"]],
    ["three, found from outside", { a: "c", b: "d", c: "b", d: "c" }, ["x/b.ts → x/d.ts → x/c.ts → x/b.ts"]],
    ["one alone", { a: "a" }, ["x/a.ts → x/a.ts"]],
    [
      "two circles",
      { a: "b", b: "a", c: "d", d: "c" },
      ["x/a.ts → x/b.ts → x/a.ts", "x/c.ts → x/d.ts → x/c.ts"],
    ],
    ["none: two ways to one file", { a: "c", b: "ac", c: "" }, []],
  ])("circles: %s", (_, imports: Record<string, string>, found) => {
    const texts = Object.entries(imports).map(([name, others]) => {
      const lines = [...others].map((other) => `import type { T } from "./${other}.ts"`)
      return [`x/${name}.ts`, lines.join("\n")] as const
    })
    expect(circles(new Map(texts))).toEqual(found)
  })

  test("types, side effects, re-exports and dynamic imports count", () => {
    const text = `import type { A } from "./a.ts"\nimport "./b.ts"\nexport * from './c.ts'\nconst d = await import("./d.ts")
      import {\n  e,\n} from "./e.ts"`
    expect(specifiers(text)).toEqual(["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts"])
  })
})
