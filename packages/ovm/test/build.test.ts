import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { finished, Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM, and minutes where the host is very busy.
setDefaultTimeout(1_700_000)
const PATIENCE = 800_000

const SOURCE = join(import.meta.dir, "../../../.cache/machine/machine.json")
const skip =
  (existsSync(SOURCE) ? "" : "the demo machine is not built (make machine)") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/build.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("a build", () => {
  let box: Sandbox
  const build = async (text: string, ...args: readonly string[]) => {
    await box.file("context/Dockerfile", text)
    return await finished(box.begin(["build", "-t", "made:1", ...args, "context"]), PATIENCE)
  }
  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", SOURCE, "-t", "demo:1"])
    await mkdir(box.path("context/sub/deep"), { recursive: true })
    await writeFile(box.path("context/page"), "a page\n")
    await writeFile(box.path("context/sub/deep/file"), "deep\n")
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("is refused by line before anything is started [OVMS-BLD-010, OVMS-BLD-011]", async () => {
    const said = await build("FROM demo:1\nRUN true\nONBUILD RUN x\nRUN --mount=type=ssh y", "--json")
    expect(said.status).toBe(2)
    const [{ code, message, detail }] = JSON.parse(said.stderr).errors
    expect({ code, message }).toEqual({
      code: "OVM_BUILD_INVALID",
      message: "context/Dockerfile:3: ONBUILD is not supported (and 1 more)",
    })
    expect(detail).toMatchObject([{ line: 3 }, { line: 4 }])
    expect((await build("FROM nothing:1\nRUN true")).stderr).toContain(
      "context/Dockerfile:1: there is no image nothing:1",
    )
    expect((await build("FROM demo:1\nCOPY none /x")).stderr).toContain(
      "Dockerfile:2: none is not in the context",
    )
    expect(existsSync(join(box.home, "ovm.sock"))).toBe(false)
  })
})
