import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { Daemon, IMAGE, LINUX, linuxMissing } from "./daemon.ts"

// What npm would publish, in the hands of somebody who has nothing else of this repository.

setDefaultTimeout(240_000)

if (guestMissing) console.log(`SKIP packages/client/test/published.test.ts: ${guestMissing}`)

const PACKAGE = join(import.meta.dir, "..")
const TSC = join(PACKAGE, "../../node_modules/.bin/tsc")

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-stranger-"))
  const tarball = run("npm", ["pack", "--silent", "--pack-destination", folder, PACKAGE])
    .trim()
    .split("\n")
    .at(-1)
  await write("package.json", `{ "name": "stranger", "private": true, "type": "module" }`)
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${tarball}`])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const write = (name: string, text: string) => writeFile(join(folder, name), text)

function run(program: string, args: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, ...env },
    encoding: "utf8",
  })
  if (status !== 0 || (program === "node" && stderr !== ""))
    throw new Error(`${program} ${args.join(" ")} (status ${status}): ${stdout}${stderr}`)
  return stdout
}

test("it needs no other package, and has neither tests nor settings in it", async () => {
  const lock = JSON.parse(await readFile(join(folder, "package-lock.json"), "utf8"))
  expect(Object.keys(lock.packages)).toEqual(["", "node_modules/@ovms/client"])
  const files = run("find", ["node_modules/@ovms/client", "-type", "f"]).trim().split("\n")
  const odd = files.filter((file) => !/client\/(package\.json|README\.md|(dist|src)\/.+)$/.test(file))
  expect(odd).toEqual([])
})

test("its exports are these", async () => {
  const exported = async (name: string) => {
    await write("exports.js", `console.log(Object.keys(await import("${name}")).sort().join(" "))`)
    return run("node", ["exports.js"]).trim()
  }
  expect(await exported("@ovms/client")).toBe("ApiError connect execPieces sandboxPieces")
  expect(await exported("@ovms/client/short-path")).toBe("shortPath")
  await expect(exported("@ovms/client/dist/exchange.js")).rejects.toThrow("ERR_PACKAGE_PATH_NOT_EXPORTED")
})

test.each(["nodenext", "bundler"])(
  "its types are right for who checks all of them, by %s",
  async (resolution) => {
    await write(
      "stranger.ts",
      `import { ApiError, connect, type ErrorCode, type InstanceInfo, type Runtime } from "@ovms/client"
     const runtime: Runtime = connect("/run/ovm/ovm.sock")
     const info: InstanceInfo = await runtime.status("x")
     const state: "running" | string = info.state
     for await (const chunk of await runtime.logs("x", { follow: true })) chunk.byteLength
     const [vmm] = (await runtime.info()).vmms
     export const version: string | undefined = vmm && "error" in vmm ? undefined : vmm?.version
     export const code: ErrorCode = new ApiError("OVM_NAME_UNKNOWN", state).code
     // @ts-expect-error
     await runtime.start({ manifest: "x", overrides: { cores: 2 } })
     // @ts-expect-error
     new ApiError("OVM_NO_SUCH_CODE", "x")`,
    )
    const module = resolution === "nodenext" ? "nodenext" : "esnext"
    const options = { strict: true, noEmit: true, target: "es2022", lib: ["es2022", "dom"], types: [] }
    const config = {
      compilerOptions: { ...options, module, moduleResolution: resolution },
      files: ["stranger.ts"],
    }
    await write("tsconfig.json", JSON.stringify(config))
    expect(run(TSC, ["--project", "tsconfig.json"])).toBe("")
  },
)

describe.skipIf(Boolean(guestMissing))("a stranger's program", () => {
  test.skipIf(Boolean(linuxMissing))("is the example, as it is", async () => {
    await using daemon = await Daemon.create()
    daemon.packLinux()
    await write("inside.js", await readFile(join(PACKAGE, "examples/inside.js"), "utf8"))
    expect(run("node", ["inside.js", daemon.deepSocket, LINUX])).toBe("6\nexit code 0\nto be or not to be\n")
  })

  test.each(["node", process.execPath])("starts, follows and stops a machine under %s", async (program) => {
    await using daemon = await Daemon.create()
    await write(
      "stranger.js",
      `import { ApiError, connect } from "@ovms/client"
       const runtime = connect(process.env.SOCKET)
       const { instance_id } = await runtime.start({ manifest: "${IMAGE}", overrides: { name: "guest" } })
       for await (const chunk of await runtime.logs(instance_id, { follow: true }))
         if (Buffer.from(chunk).toString().includes("TICK")) await runtime.stop({ instance_id, grace_ms: 0 })
       console.log((await runtime.status(instance_id)).name)
       await runtime.remove(instance_id)
       const gone = await runtime.status(instance_id).catch((thrown) => thrown)
       console.log(gone instanceof ApiError, gone.code, gone.status)`,
    )
    expect(run(program, ["stranger.js"], { SOCKET: daemon.deepSocket })).toBe(
      "guest\ntrue OVM_INSTANCE_UNKNOWN 404\n",
    )
  })
})
