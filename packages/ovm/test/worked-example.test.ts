import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { digestOf } from "../src/content/digest.ts"
import { MemoryDigest } from "../src/ram/memory-digest.ts"
import { Sandbox } from "./sandbox.ts"
import { SPEC } from "./vectors.ts"

setDefaultTimeout(240_000)

const PAGE = readFileSync(join(SPEC, "appendix-worked-example.md"), "utf8")
/** Each command of the page with what stands below it. */
const STEPS = [...PAGE.matchAll(/```bash\n(.+?)```(?:\n\n```text\n(.+?)```)?/gs)].map(
  ([, command = "", output = ""]) => ({ command, output }),
)

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box?.[Symbol.asyncDispose]())

test("every command prints what the page says", () => {
  expect(STEPS.length).toBeGreaterThan(4)
  for (const { command, output } of STEPS)
    expect(execFileSync("bash", ["-ec", command], { cwd: box.directory, encoding: "utf8" })).toBe(output)
})

// OVMS-SRC-014, OVMS-SRC-015, OVMS-SRC-016
test("what it makes is an artifact, and the one that is packed of the same source", async () => {
  const made = await box.json(["inspect", box.path("machine")])
  const disk = await box.file("empty.raw", Buffer.alloc(1 << 20))
  const source = { schemaVersion: 1, name: "example/empty", diskLayers: [{ path: disk, format: "raw" }] }
  const packed = await box.json([
    "pack",
    "--file",
    await box.file("machine.json", source),
    "--tag",
    "empty:1",
  ])
  expect(packed.digest).toBe(made.digest)
  expect(PAGE).toContain(made.digest.replace("sha256:", ""))
})

// OVMS-SNP-023
test("the memory digest is that of such RAM", () => {
  const text = STEPS.at(-1)?.output ?? ""
  expect(text).toContain(digestOf(Buffer.alloc(256 << 10)).replace("sha256:", ""))
  const digest = new MemoryDigest()
  digest.addZeros(4)
  expect(text).toContain(digest.digest().replace("sha256:", ""))
})
