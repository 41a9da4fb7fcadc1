import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { chmod, copyFile, lstat, mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { type RegistryServer, registryMissing, startRegistry as startPeer } from "@ovms/testkit/registry.ts"
import { expectFailure, PROGRAM, type Result, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// A store that one may not write to can be read (OVMS-API-155): somebody else's, or on a read-only file system.

const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
const isRoot = process.getuid?.() === 0
/** Root may write to everything, so it becomes somebody else. */
const AS = isRoot ? NOBODY : []

const runs =
  spawnSync(AS[0] ?? "true", [...AS.slice(1), ...(isRoot ? [...PROGRAM, "version"] : [])]).status === 0
const skip = guestMissing || registryMissing || (runs ? undefined : "nobody else may run this program")
if (skip) console.log(`SKIP packages/ovm/test/read-only.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("a store that is not one's own", () => {
  let box: Sandbox
  let peer: RegistryServer
  let before: string[]

  beforeAll(async () => {
    peer = await startPeer()
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    await box.ok(["pack", "--kernel", "kernel", "-t", "local/m:1"])
    await box.ok(["tag", "local/m:1", `${peer.host}/m:1`])
    await chmod(box.directory, 0o755)
    await mkdir(box.path("out"), { mode: 0o777 })
    await chmod(box.path("out"), 0o777)
    for (const path of await all(box)) {
      const { mode } = await lstat(path)
      await chmod(path, (mode | 0o444 | (mode & 0o100 ? 0o111 : 0)) & ~0o222)
    }
    before = await all(box)
  })
  afterAll(async () => {
    // What is not writable could not be removed.
    for (const path of await all(box)) await chmod(path, 0o700)
    await box?.[Symbol.asyncDispose]()
    await peer?.stop()
  })

  function asOther(args: readonly string[]): Result {
    const [file = "", ...rest] = [...AS, ...PROGRAM, ...args]
    const env = { PATH: process.env.PATH, HOME: box.path("out"), OVM_HOME: box.home }
    const { status, stdout, stderr } = spawnSync(file, rest, { env, cwd: box.path("out"), encoding: "utf8" })
    return { status: status ?? -1, stdout, stderr }
  }

  // OVMS-API-155
  test.each([
    "images",
    "inspect local/m:1",
    "validate local/m:1",
    "discover local/m:1",
    "sbom local/m:1",
    "save -o saved.tar local/m:1",
    "copy local/m:1 ./layout",
    "copy local/m:1 ./archive.tar",
    "push PEER/m:1",
    "info",
    "ps",
  ])("ovm %s", async (command) => {
    const { status, stdout, stderr } = asOther(command.replace("PEER", peer.host).split(" "))
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("error:") })
    if (command === "images") expect(stdout).toContain("local/m")
    expect(await all(box)).toEqual(before)
  })

  test("what is read is verified, though nothing is noted", () => {
    expect(asOther(["images", "--quiet"]).stdout).toMatch(/^sha256:/)
    expectFailure(asOther(["verify", "local/m:1", "--key", "no.pub"]), "OVM_FILE_UNREADABLE", ["no.pub"])
  })

  test.each(["rmi local/m:1", "tag local/m:1 other", "pack --kernel KERNEL -t n"])(
    "ovm %s is refused, naming what cannot be written",
    (command) => {
      const result = asOther(command.replace("KERNEL", box.path("kernel")).split(" "))
      expectFailure(result, "OVM_PERMISSION_DENIED", [join(box.home, "store")])
    },
  )
})

async function all(box: Sandbox): Promise<string[]> {
  const names = await readdir(box.home, { recursive: true })
  return ["", ...names.sort()].map((name) => join(box.home, name))
}

// Root could write there, and what it made would be in its user's way.
describe.skipIf(!isRoot || Boolean(skip))("root, in a place of another user", () => {
  test("makes nothing by commands that read, with or without a store", async () => {
    await using box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    const look = async () => (await readdir(box.home, { recursive: true })).sort()
    const read = async () => {
      const before = await look()
      const listed = await box.ok(["images"])
      for (const command of ["ps", "info", "vmm ls", "doctor"]) await box.ovm(command.split(" "))
      await box.fails(["save", "-o", "saved.tar", "none:1"], "OVM_NAME_UNKNOWN", ["none:1"])
      await box.fails(["push", "localhost:1/none:1"], "OVM_NAME_UNKNOWN", ["none:1"])
      expect(await look()).toEqual(before)
      return listed
    }
    await mkdir(box.home)
    expect(spawnSync("chown", ["65534", box.home]).status).toBe(0)
    await read()
    spawnSync("chown", ["0", box.home])
    await box.ok(["pack", "--kernel", "kernel", "-t", "local/m:1"])
    spawnSync("chown", ["-R", "65534", box.home])
    expect(await read()).toContain("local/m")
    await box.ok(["save", "-o", "saved.tar", "local/m:1"])
    await box.ok(["validate", "local/m:1"])
    const owners = spawnSync("find", [box.home, "-user", "0"], { encoding: "utf8" })
    expect(owners.stdout).toBe("")
  })
})
