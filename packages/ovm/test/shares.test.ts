import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { chown, lstat, mkdir, readFile, readlink, rename, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { connect } from "@ovms/client"
import { KERNEL, MACHINE, machineMissing, NET, UNPACKED, unpackedIn } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"
import { nothingLeadsOut, sharedFolders } from "./shares.testing.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// Folders of the host in real guests: who reads them, who writes to them, and that nobody leaves them.

const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/shares.test.ts: ${skip}`)

const isRoot = process.getuid?.() === 0
const NOBODY = 65534
const AS = ["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"]
const [AS_FILE = "", ...AS_REST] = AS
/** Somebody else may run the program from where it is: by another program, since setpriv itself has rights still. */
const othersRun = isRoot && spawnSync(AS_FILE, [...AS_REST, "env", ...PROGRAM, "version"]).status === 0
if (!skip && !othersRun)
  console.log("SKIP packages/ovm/test/shares.test.ts: nobody else can run the program from where it is")

describe.skipIf(Boolean(skip))("folders of the host in a machine", () => {
  let box: Sandbox
  let id: string
  /** What a shell of the guest says, errors as well. */
  const inside = (script: string) => box.ok(["exec", "web", "sh", "-c", `exec 2>&1; ${script}; true`])

  beforeAll(async () => {
    box = await Sandbox.create()
    const shares = [{ name: "given", target: "/given", readOnly: true, required: false }]
    const text = (await readFile(UNPACKED, "utf8")).replaceAll(/"path": "(?!\/)/g, `$&${MACHINE}/`)
    await writeFile(box.path("machine.json"), JSON.stringify({ ...JSON.parse(text), shares }))
    await box.ok(["pack", "-f", "machine.json", "-t", "debian:12"])
    const files = ["--kernel", KERNEL, "--initrd", NET]
    await box.ok(["pack", ...files, "--args", "console=ttyS0 quiet panic=-1", "-t", "net:1"])
    await sharedFolders(box)
    const folders = ["-v", "./work:/deep/in/work", "-v", `given=${box.path("given")}`]
    id = (await box.json(["run", "-d", "--name", "web", ...folders, "debian:12"])).instance_id
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("are mounted before the first command, and seen by both at once [OVMS-SHR-001, OVMS-SHR-005, OVMS-SHR-006, OVMS-AGT-090, OVMS-AGT-091]", async () => {
    expect(await box.ok(["exec", "--wait", "200", "web", "cat", "/given/file"])).toBe("of the host")
    await inside("echo of the guest >/deep/in/work/made; mkdir /deep/in/work/folder")
    expect(await readFile(box.path("work/made"), "utf8")).toBe("of the guest\n")
    expect((await lstat(box.path("work/folder"))).isDirectory()).toBe(true)
    await writeFile(box.path("work/made"), "changed\n")
    expect(await inside("cat /deep/in/work/made")).toBe("changed")
    expect(await inside("grep -c 9p /proc/mounts")).toBe("2")
    // OVMS-SHR-020
    expect((await connect(join(box.home, "ovm.sock")).status(id)).shares).toEqual([
      { source: box.path("work"), target: "/deep/in/work", read_only: false, mounted: true, type: "9p" },
      {
        name: "given",
        source: box.path("given"),
        target: "/given",
        read_only: true,
        mounted: true,
        type: "9p",
      },
    ])
    expect(await box.ok(["status", "web"])).toMatch(/^share +given: .*\/given at \/given, read-only, by 9p$/m)
  })

  test("what is only to be read stays as it is, however it is mounted, where the image alone says so [OVMS-SHR-011, OVMS-SHR-033]", async () => {
    const attempts =
      "cd /given; echo x >file; rm -f file; mkdir y; mv file z; chmod 777 file; mount -o remount,rw /given; echo x >file; touch new"
    expect(await inside(attempts)).toMatch(/Read-only file system/)
    const again =
      "umount /given; mount -t 9p -o trans=virtio,version=9p2000.L,rw ovm.1 /given; echo x >/given/file; rm /given/file; echo x >/given/new; ls /given"
    expect(await inside(again)).toMatch(/Read-only file system[\s\S]*file\nlink\nup$/)
    expect(await readFile(box.path("given/file"), "utf8")).toBe("of the host\n")
  })

  test("no path and no link leads out of them [OVMS-SHR-010]", async () => {
    await nothingLeadsOut(box, inside, "/deep/in/work")
  })

  test.skipIf(!isRoot)(
    "for root, owners, devices, set-user-ID bits and links are of the guest alone [OVMS-SHR-012]",
    async () => {
      const makes =
        "cd /deep/in/work; cp /bin/busybox su; chown 5:6 su; chmod 4755 su; mknod disk b 8 0; ln -s /etc/shadow shadow; ls -l su disk shadow"
      const seen = await inside(makes)
      expect(seen).toMatch(/^-rwsr-xr-x +1 5 +6 /m)
      expect(seen).toMatch(/^brw.* 8, +0 /m)
      expect(seen).toContain("shadow -> /etc/shadow")
      for (const name of ["su", "disk", "shadow"]) {
        const { mode, uid } = await lstat(box.path(`work/${name}`))
        expect({ name, mode: mode.toString(8), uid }).toEqual({ name, mode: "100600", uid: 0 })
      }
      // No program of theirs gets rights by it in the guest either.
      expect(await inside("grep /work /proc/mounts")).toContain("nosuid,nodev")
    },
  )

  test("a machine with one is not snapshotted, nor does a snapshot get one [OVMS-SHR-022]", async () => {
    await box.fails(["snapshot", "web", "--tag", "x"], "OVM_UNSUPPORTED", [box.path("work"), "/deep/in/work"])
    await box.ok(["run", "-d", "--agent", "--name", "plain", "debian:12"])
    await box.ok(["exec", "--wait", "200", "plain", "true"])
    await box.ok(["snapshot", "plain", "--tag", "warm"])
    await box.ok(["rm", "-f", "plain"])
    await box.fails(["run", "-d", "-v", "./work:/work", "debian:warm"], "OVM_UNSUPPORTED", ["shares"])
  })

  test("one that goes from its place leaves a machine that goes on, and says so [OVMS-SHR-021]", async () => {
    await rename(box.path("given"), box.path("moved"))
    const degraded = async () => (await box.json(["status", "web"])).degraded
    await until("the machine is degraded", degraded, { is: (parts) => parts?.includes("share") })
    expect(await inside("echo goes on; ls /given; cat /deep/in/work/made")).toContain("changed")
    expect(await box.ok(["status", "web"])).toContain("a folder of this host is not where it was")
    await box.fails(["restart", "web"], "OVM_FILE_UNREADABLE", [box.path("given")])
    expect((await box.json(["status", "web"])).state).toBe("running")
    // A daemon that comes later finds it as well.
    await box.ok(["daemon", "--stop"])
    await until("the next daemon says so", degraded, { is: (parts) => parts?.includes("share") })
    await rename(box.path("moved"), box.path("given"))
    await box.ok(["restart", "web"])
    expect(await box.ok(["exec", "--wait", "200", "web", "cat", "/given/file"])).toBe("of the host")
    expect(await degraded()).toBeUndefined()
  })

  test("a guest that cannot mount it runs without, and no command is run for it [OVMS-SHR-020, OVMS-AGT-092]", async () => {
    const { status, stderr } = await box.ovm(["run", "--rm", "-v", "./work:/work", "net:1", "true"])
    expect(stderr).toMatch(/OVM_UNSUPPORTED: .*\/work at \/work: the guest's kernel has no 9p/)
    expect(status).toBe(125)
  })

  test("what cannot be shared is refused before anything is made [OVMS-SHR-002, OVMS-SHR-003, OVMS-SHR-004, OVMS-SHR-005]", async () => {
    const before = (await box.instances("--all")).length
    const fails = (
      volumes: readonly string[],
      code: Parameters<Sandbox["fails"]>[1],
      ...culprits: string[]
    ) =>
      box.fails(
        ["run", "-d", ...volumes.flatMap((one) => (one.startsWith("--") ? [one] : ["-v", one])), "debian:12"],
        code,
        culprits,
      )
    await fails(["./nowhere:/x"], "OVM_FILE_UNREADABLE", box.path("nowhere"))
    await fails(["./given/file:/x"], "OVM_UNSUPPORTED", box.path("given/file"), "only a folder")
    await fails(["./given:/x", "./work:/x/"], "OVM_REQUEST_INVALID", "/x is the target of two")
    await fails(["./given:/x/../y"], "OVM_REQUEST_INVALID", "/overrides/shares/0/target")
    await fails(["./given:/"], "OVM_REQUEST_INVALID", "/overrides/shares/0/target")
    await fails(["./given:/x", "--no-agent"], "OVM_REQUEST_INVALID", "asked to have none")
    await fails([".:/x:ro"], "OVM_REQUEST_INVALID", "the state of this daemon is there")
    await fails([`${join(box.home, "instances")}:/x`], "OVM_REQUEST_INVALID", "the state of this daemon")
    await symlink(box.home, box.path("hidden"))
    await fails(["./hidden:/x"], "OVM_REQUEST_INVALID", box.path("hidden"))
    await fails(["./given"], "OVM_USAGE", "HOST:GUEST")
    await fails(["./given:x"], "OVM_USAGE", "HOST:GUEST")
    await fails(["given:/x"], "OVM_USAGE", "-v ./given:/x")
    await fails(["given/file:/x"], "OVM_USAGE", "begins with")
    await fails(["given=given"], "OVM_USAGE", "-v given=./given")
    await fails(["gave=./given"], "OVM_REQUEST_INVALID", "debian:12 has no share gave, only given")
    expect(await box.instances("--all")).toHaveLength(before)
    await mkdir(box.path("wi:th"))
    await box.ok(["create", "--name", "made", "-v", "./wi:th:/x:ro", "debian:12"])
    expect((await box.json(["status", "made"])).shares).toEqual([
      { source: box.path("wi:th"), target: "/x", read_only: true, mounted: false },
    ])
  })
})

describe.skipIf(Boolean(skip))("shares that an image names", () => {
  let box: Sandbox
  const files = ["--kernel", KERNEL, "--initrd", NET]
  const create = (name: string, ...volumes: string[]) =>
    ["create", "--name", name, ...volumes.flatMap((one) => ["-v", one]), "builder:1"] as const
  const shown = async (name: string) => (await box.json(["status", name])).shares
  const at = (name: string, target: string, read_only: boolean) => ({
    name,
    source: box.path(name),
    target,
    read_only,
    mounted: false,
  })

  beforeAll(async () => {
    box = await Sandbox.create()
    for (const name of ["src", "cache", "other"]) await mkdir(box.path(name))
    const shares = [
      { name: "src", target: "/src", readOnly: true },
      { name: "cache", target: "/var/cache/builder", required: false },
    ]
    const [, kernel = "", , initrd = ""] = files
    const source = {
      schemaVersion: 1,
      name: "builder",
      kernel: { path: kernel },
      initrd: { path: initrd },
      shares,
    }
    await writeFile(box.path("machine.json"), JSON.stringify(source))
    await box.ok(["pack", "-f", "machine.json", "-t", "builder:1"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("are given folders by name, where the image says, and no more than it lets do [OVMS-MAN-145, OVMS-SHR-030, OVMS-SHR-033, OVMS-SHR-034]", async () => {
    await box.ok(create("both", "src=./src", `cache=${box.path("cache")}:ro`, "./other:/other"))
    expect(await shown("both")).toEqual([
      at("src", "/src", true),
      at("cache", "/var/cache/builder", true),
      { source: box.path("other"), target: "/other", read_only: false, mounted: false },
    ])
    await box.ok(create("one", "src=./src:rw"))
    expect(await shown("one")).toEqual([at("src", "/src", true)])
    expect(await box.ok(["status", "one"])).toMatch(/^share +src: .*\/src at \/src, read-only/m)
    expect(await box.ok(["inspect", "builder:1"])).toMatch(
      /share src {2}at \/src, read-only\n.*share cache {2}at \/var\/cache\/builder, optional/,
    )
  })

  test("a start without one that is required, or with one that there is not, is refused before anything is made [OVMS-MAN-146, OVMS-SHR-031, OVMS-SHR-032]", async () => {
    const before = (await box.instances("--all")).length
    const missing = ["builder:1", "share src at /src", "-v src=./FOLDER"]
    await box.fails(create("none"), "OVM_REQUEST_INVALID", missing)
    await box.fails(["run", "-d", "-v", "cache=./cache", "builder:1"], "OVM_REQUEST_INVALID", missing)
    await box.fails(["run", "--explain", "builder:1"], "OVM_REQUEST_INVALID", missing)
    // At its place is not by its name: whoever packed it does not know that place.
    await box.fails(create("none", "./src:/src"), "OVM_REQUEST_INVALID", missing)
    const unknown = ["no share sources", "only src, cache"]
    await box.fails(create("none", "src=./src", "sources=./src"), "OVM_REQUEST_INVALID", unknown)
    await box.fails(create("none", "src=./src", "src=./other"), "OVM_REQUEST_INVALID", [
      "/src is the target of two",
    ])
    await box.fails(create("none", "src=./src", "./other:/src/"), "OVM_REQUEST_INVALID", [
      "/src is the target of two",
    ])
    await box.fails(create("none", "src=./nowhere"), "OVM_FILE_UNREADABLE", [box.path("nowhere")])
    expect(await box.instances("--all")).toHaveLength(before)
  })
})

describe.skipIf(Boolean(skip) || !othersRun)("folders of somebody who is not root", () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create(AS)
    for (const name of ["work", "closed"]) await mkdir(box.path(name))
    await symlink("file", box.path("work/link"))
    for (const name of [".", "work"]) await chown(box.path(name), NOBODY, NOBODY)
    await box.ok(["pack", "-f", await unpackedIn(box.path("machine")), "-t", "debian:12"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("belong to that user, with the permissions and links that the guest gave [OVMS-SHR-012]", async () => {
    const makes =
      "cd /work; echo '#!/bin/sh' >file; chmod 755 file; ln -s file made; chown 5:6 file; mknod disk b 8 0; cat link"
    const { stdout, status } = await box.ovm([
      "run",
      "--rm",
      "-v",
      "./work:/work",
      "debian:12",
      "sh",
      "-c",
      makes,
    ])
    expect({ stdout, status }).toEqual({ stdout: "#!/bin/sh\n", status: 0 })
    const { mode, uid } = await lstat(box.path("work/file"))
    expect({ mode: mode.toString(8), uid }).toEqual({ mode: "100755", uid: NOBODY })
    expect(await readlink(box.path("work/made"))).toBe("file")
    expect(existsSync(box.path("work/disk"))).toBe(false)
  })

  test("are refused where that user may not, by name [OVMS-SHR-002]", async () => {
    await box.fails(["run", "-d", "-v", "./closed:/x", "debian:12"], "OVM_PERMISSION_DENIED", [
      box.path("closed"),
    ])
    await box.ok(["create", "--name", "reads", "-v", "./closed:/x:ro", "debian:12"])
  })
})
