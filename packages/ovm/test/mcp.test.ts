import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// The example of an MCP server, asked by a client of the same SDK, with a real guest behind it.

const ROOT = join(import.meta.dir, "../../..")
const SNAPSHOT = "demo:ready"

/** A copy with its packages, in a folder as deep as its own; undefined where they cannot be had. */
async function installed(folder: string): Promise<string | undefined> {
  const copy = join(folder, "examples/mcp")
  await mkdir(join(folder, "examples"))
  const mine = (path: string) => !path.includes("node_modules")
  await cp(join(ROOT, "examples/mcp"), copy, { recursive: true, filter: mine })
  await symlink(join(ROOT, "packages"), join(folder, "packages"))
  const how = ["ci", "--prefer-offline", "--no-audit", "--no-fund"]
  return spawnSync("npm", how, { cwd: copy, timeout: 120_000 }).status === 0 ? copy : undefined
}

const folder = await mkdtemp(join(tmpdir(), "ovm-mcp-"))
const machine = (await machineMissing()) === ""
const example = machine ? await installed(folder) : undefined
const skip = machine
  ? example === undefined && "the packages of examples/mcp cannot be had"
  : "make machine, or QEMU, is missing"
if (skip) console.log(`SKIP packages/ovm/test/mcp.test.ts: ${skip}`)
afterAll(() => rm(folder, { recursive: true, force: true }))

describe.skipIf(Boolean(skip))("an assistant with a sandbox", () => {
  let box: Sandbox
  // biome-ignore lint/suspicious/noExplicitAny: of a package that is the example's alone
  let client: any
  const run = async (wanted: Record<string, unknown>, options = {}) =>
    await client.callTool({ name: "run", arguments: wanted }, undefined, options)

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "demo:1"])
    const { instance_id } = await box.json(["run", "-d", "--agent", "--name", "source", "demo:1"])
    // By then its root is its disk.
    await box.console(instance_id, "OVM-DISK")
    await box.ok(["exec", "--wait", "250", "source", "true"])
    await box.ok(["snapshot", "source", "--tag", "ready"])
    await box.ok(["rm", "--force", "source"])
    const sdk = join(example ?? "", "node_modules/@modelcontextprotocol/sdk/dist/esm/client")
    const { Client } = await import(join(sdk, "index.js"))
    const { StdioClientTransport } = await import(join(sdk, "stdio.js"))
    client = new Client({ name: "test", version: "1" })
    const env = { PATH: process.env.PATH, SOCKET: join(box.home, "ovm.sock"), SNAPSHOT }
    const args = [join(example ?? "", "server.js")]
    await client.connect(new StdioClientTransport({ command: "node", args, env }))
  })
  afterAll(async () => {
    await client?.close()
    await box?.[Symbol.asyncDispose]()
  })

  test("has one tool, which says what it takes", async () => {
    const { tools } = await client.listTools()
    expect(tools).toMatchObject([{ name: "run", inputSchema: { required: ["script"] } }])
  })

  test("puts files in, runs, gets files out, and finds nothing of it the next time", async () => {
    const script =
      "cd /work && wc -w <words | tee count; echo err >&2; head -c 3 /dev/zero | tr '\\0' '\\377' >odd; exit 3"
    const outputs = ["/work/count", "/work/odd", "/work/none"]
    const { structuredContent, content, isError } = await run({
      script,
      files: { "/work/words": "to be or not" },
      outputs,
    })
    expect(isError).toBeUndefined()
    expect(structuredContent).toEqual({
      exit_code: 3,
      timed_out: false,
      truncated: false,
      stdout: "4\n",
      stderr: "err\n",
      files: { "/work/count": "4\n", "/work/odd": "data:application/octet-stream;base64,////" },
      missing: { "/work/none": expect.stringContaining("none") },
    })
    expect(JSON.parse(content[0].text)).toEqual(structuredContent)
    expect((await run({ script: "ls /work" })).structuredContent.exit_code).not.toBe(0)
  })

  test("kills what takes too long, or is cancelled, and says what is refused", async () => {
    const hung = await run({ script: "echo begun; sleep 600", timeout_seconds: 5 })
    expect(hung.structuredContent).toMatchObject({ timed_out: true, exit_code: 137, stdout: "begun\n" })
    const cancelled = run({ script: "sleep 600" }, { signal: AbortSignal.timeout(500) })
    expect(
      await cancelled.then(
        () => "done",
        () => "cancelled",
      ),
    ).toBe("cancelled")
    const refused = await run({ script: "true", files: { "/proc/version/x": "y" } })
    expect(refused).toMatchObject({
      isError: true,
      content: [{ text: expect.stringMatching(/^OVM_[A-Z_]+: /) }],
    })
    const wrong = await run({ script: "true", timeout_seconds: 0 }).catch((thrown: Error) => ({
      isError: true,
      content: [{ text: thrown.message }],
    }))
    expect(wrong).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining("timeout_seconds") }],
    })
    expect(await box.instances("--all")).toEqual([])
  })
})
