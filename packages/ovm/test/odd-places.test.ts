import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync, spawnSync } from "node:child_process"
import { chownSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// What stands where a file of ours, or of the operator's, is expected to be.

const skip = guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/odd-places.test.ts, machines: ${skip}`)

const pipe = (path: string) => {
  rmSync(path, { force: true, recursive: true })
  execFileSync("mkfifo", [path])
}

test("a named pipe in the place of a lock keeps nobody waiting", async () => {
  await using box = await Sandbox.create()
  mkdirSync(box.home)
  pipe(join(box.home, "daemon.lock"))
  expect(await box.instances()).toEqual([])
  await box.ok(["volume", "create", "v", "--size", "1MiB"])
  expect(await box.ok(["volume", "ls"])).toMatch(/^v /m)
})

test("a link of settings to nothing is not taken for there being none", async () => {
  await using box = await Sandbox.create()
  mkdirSync(box.home)
  for (const name of ["daemon.json", "registries.json", "policy.json"])
    symlinkSync("/nonexistent/settings", join(box.home, name))
  const said = await box.ovm(["doctor"])
  for (const check of ["settings", "policy", "registries"])
    expect(said.stdout).toMatch(new RegExp(`^failure +${check}: .*\\.json: it `, "m"))
  const settings = join(box.home, "daemon.json")
  await box.fails(["vmm", "ls"], "OVM_FILE_UNREADABLE", [settings])
  rmSync(settings)
  rmSync(join(box.home, "policy.json"))
  const registries = join(box.home, "registries.json")
  await box.fails(["pull", "registry.invalid/machine:1"], "OVM_FILE_UNREADABLE", [registries])
})

test("a root whose name is not UTF-8 is refused in place of another that the name would come to", async () => {
  await using box = await Sandbox.create()
  mkdirSync(box.home)
  const result = await box.shell(`OVM_HOME=${box.home}/$'\\xff' ovm ps`)
  expect(result.stderr).toContain("OVM_USAGE")
  expect(result.status).toBe(2)
  expect(readdirSync(box.home)).toEqual([])
})

const isRoot = process.geteuid?.() === 0
if (!isRoot) console.log("SKIP packages/ovm/test/odd-places.test.ts, what root leaves: this is another user")

test.skipIf(!isRoot)("root leaves nothing in the folder of another user", async () => {
  await using box = await Sandbox.create()
  mkdirSync(box.home)
  chownSync(box.home, 65_534, 65_534)
  await box.fails(["volume", "create", "v", "--size", "1MiB"], "OVM_PERMISSION_DENIED", [box.home])
  await box.fails(["daemon"], "OVM_PERMISSION_DENIED", [box.home])
  expect(readdirSync(box.home)).toEqual([])
})

const MOUNT = 'mount --bind "$OVM_HOME" "$OVM_HOME" && mount -o remount,bind,ro "$OVM_HOME" && exec "$@"'
const IN_READ_ONLY = ["unshare", "--mount", "sh", "-c", MOUNT, "sh"]
const mounts = spawnSync("unshare", ["--mount", "mount", "--bind", "/tmp", "/tmp"]).status === 0
if (!mounts)
  console.log("SKIP packages/ovm/test/odd-places.test.ts, a root that can only be read: no mounts here")

test.skipIf(!mounts)(
  "a root that can only be read: a daemon that is wanted there is said to be impossible",
  async () => {
    await using box = await Sandbox.create(IN_READ_ONLY)
    mkdirSync(box.home)
    await box.fails(["volume", "ls"], "OVM_PERMISSION_DENIED", [box.home, "read-only"])
  },
)

describe.skipIf(Boolean(skip))(`machines beside what is odd ${skip}`, () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    await packGuest(join(box.home, "store"), "steady:1", "tick_ms=20 button=1")
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const run = () => box.ok(["run", "-d", "--network", "none", "steady:1"])
  const folderOf = (id: string) => join(box.home, "instances", id)

  test("a named pipe in the place of what a machine holds: the next daemon shows and ends all machines", async () => {
    const [odd, other] = [await run(), await run()]
    await box.ok(["daemon", "--stop"])
    pipe(join(folderOf(odd), "held"))
    expect((await box.instances()).map(({ state }) => state)).toEqual(["running", "running"])
    await box.ok(["rm", "--force", odd, other])
    expect(readdirSync(join(box.home, "instances"))).toEqual([])
  })

  test("a folder in the place of a file: it is named, and the machine can be removed", async () => {
    for (const name of ["held", "qmp.sock", "exit"]) {
      const id = await run()
      const odd = join(folderOf(id), name)
      await box.ok(["daemon", "--stop"])
      rmSync(odd, { force: true })
      mkdirSync(odd)
      await box.ok(["stop", "--time", "0", id])
      await box.fails(["start", id], "OVM_FILE_UNREADABLE", [odd])
      await box.ok(["rm", "--force", id])
    }
    expect(readdirSync(join(box.home, "instances"))).toEqual([])
  })

  test("a limit on the size of files: it is said to be one", async () => {
    await box.ok(["daemon", "--stop"])
    const { stderr } = await box.shell("ulimit -f 4; ovm run -d --network none steady:1")
    expect(stderr).toMatch(/^error: OVM_NO_SPACE: /)
    await box.ok(["daemon", "--stop"])
  })
})
