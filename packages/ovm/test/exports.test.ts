import { expect, test } from "bun:test"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"

const ROOT = join(import.meta.dir, "../../..")

/** What may be imported from outside of each package. What is not here may change from day to day. */
const EXPORTS: Readonly<Record<string, readonly string[]>> = {
  "packages/client": [".", "./short-path"],
  // A program: what it is in code is nobody's to build on, until somebody asks for a part.
  "packages/ovm": ["./package.json"],
  "packages/testkit": ["./*"],
  spec: [
    "./package.json",
    "./errors.json",
    "./requirements.json",
    "./schema/*",
    "./api/openapi.yaml",
    "./vectors/*",
  ],
}

test.each(Object.entries(EXPORTS))("%s exports what it says, and nothing else", async (folder, names) => {
  const { exports } = JSON.parse(await readFile(join(ROOT, folder, "package.json"), "utf8"))
  expect(Object.keys(exports)).toEqual([...names])
})

test("@ovms/spec has every schema and vector, and the files that are named, under their names", async () => {
  const inside = async (folder: string) =>
    (await readdir(join(ROOT, "spec", folder), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(ROOT, "spec/").length))
  const files = ["errors.json", "requirements.json", "api/openapi.yaml"]
  files.push(...(await inside("schema")), ...(await inside("vectors")))
  expect(files.length).toBeGreaterThan(100)
  for (const file of files) expect(Bun.resolveSync(`@ovms/spec/${file}`, ROOT)).toBe(join(ROOT, "spec", file))
})

test("what is not on the list cannot be imported by name", () => {
  expect(Bun.resolveSync("@ovms/ovm/package.json", ROOT)).toBe(join(ROOT, "packages/ovm/package.json"))
  for (const inside of ["@ovms/ovm/src/errors.ts", "@ovms/spec/errors.md", "@ovms/client/src/exchange.ts"])
    expect(() => Bun.resolveSync(inside, ROOT)).toThrow(inside.split("/", 2).join("/"))
})
