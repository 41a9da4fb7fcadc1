import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import {
  appendFile,
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { machineMissing, UNPACKED, unpackedIn } from "@ovms/testkit/machines.ts"
import { pidsIn } from "@ovms/testkit/processes.ts"
import { findPeer } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"
import { nothingLeadsOut, sharedFolders } from "./shares.testing.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// The same folders of the host as in shares.test.ts, by virtiofs: what is promised of a share holds for either.

const NOBODY = 65534
const isRoot = process.getuid?.() === 0
const virtiofsd = findPeer("virtiofsd")
const missing =
  (await machineMissing()) ||
  (virtiofsd === undefined && "virtiofsd is neither in the peers' cache nor on PATH (make peers)")
if (missing) console.log(`SKIP packages/ovm/test/shares-virtiofs.test.ts: ${missing}`)

const AS = isRoot ? ["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"] : []
const [FIRST = "", ...REST] = [...AS, "env", ...PROGRAM]
/** Somebody else may run the program from where it is, by another program, and has a user namespace of its own. */
const othersRun =
  spawnSync(FIRST, [...REST, "version"]).status === 0 &&
  spawnSync(AS[0] ?? "unshare", [...AS.slice(1), ...(AS[0] ? ["unshare"] : []), "-U", "true"]).status === 0
if (!missing && !othersRun)
  console.log(
    "SKIP packages/ovm/test/shares-virtiofs.test.ts: nobody else can run the program from where it is",
  )

/** Those who serve a folder below `folder`; of each, the process that others of it are below. */
function serversOf(folder: string): number[] {
  const found = readdirSync("/proc").filter((name) => {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "latin1").split("\0")
      return words.some((word, at) => word.startsWith(folder) && words[at - 1] === "--shared-dir")
    } catch {
      return false
    }
  })
  return found.map(Number).sort((a, b) => a - b)
}

/** What a shell of the guest `web` says, errors as well. */
const insideOf = (box: Sandbox) => (script: string) =>
  box.ok(["exec", "--wait", "200", "web", "sh", "-c", `exec 2>&1; ${script}; true`])

const typesOf = async (box: Sandbox) =>
  (await box.json(["status", "web"])).shares.map(({ type }: { type?: string }) => type)

/** The program as the daemons of a test find it, and the words that have them do so. */
interface Finding extends AsyncDisposable {
  readonly program: string
  readonly words: readonly string[]
}

async function finding(): Promise<Finding> {
  const bin = await mkdtemp(join(tmpdir(), "ovm-virtiofsd-"))
  await chmod(bin, 0o755)
  const program = join(bin, "virtiofsd")
  await copyFile(virtiofsd ?? "", program)
  return {
    program,
    words: ["env", `OVM_VIRTIOFSD=${program}`],
    [Symbol.asyncDispose]: () => rm(bin, { recursive: true }),
  }
}

describe.skipIf(Boolean(missing) || !othersRun)("folders by virtiofs, of somebody who is not root", () => {
  let box: Sandbox
  let found: Finding
  let inside: (script: string) => Promise<string>
  let owner: number

  beforeAll(async () => {
    found = await finding()
    box = await Sandbox.create([...AS, ...found.words])
    inside = insideOf(box)
    await sharedFolders(box)
    await mkdir(box.path("work/folder"))
    owner = isRoot ? NOBODY : (process.getuid?.() ?? 0)
    if (isRoot) for (const name of [".", "work", "work/folder"]) await chown(box.path(name), NOBODY, NOBODY)
    await box.ok(["pack", "-f", await unpackedIn(box.path("machine")), "-t", "debian:12"])
    await box.ok(["run", "-d", "--name", "web", "-v", "./work:/work", "-v", "./given:/given:ro", "debian:12"])
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await found?.[Symbol.asyncDispose]()
  })

  test("are seen by both, belong to that user, and cannot be written to where they are only read [OVMS-SHR-011, OVMS-SHR-012, OVMS-SHR-035, OVMS-SHR-036, OVMS-SHR-037, OVMS-AGT-130, OVMS-AGT-132]", async () => {
    expect(await inside("cat /given/file")).toBe("of the host")
    expect(await typesOf(box)).toEqual(["virtiofs", "virtiofs"])
    const makes =
      "cd /work; echo '#!/bin/sh' >made; chmod 755 made; ln -s made link; chown 5:6 made; mknod disk b 8 0; grep /work /proc/mounts"
    const said = await inside(makes)
    expect(said).toContain("Operation not permitted")
    expect(said).toContain("nosuid,nodev")
    const { mode, uid } = await lstat(box.path("work/made"))
    expect({ mode: mode.toString(8), uid }).toEqual({ mode: "100755", uid: owner })
    expect(await readlink(box.path("work/link"))).toBe("made")
    expect(existsSync(box.path("work/disk"))).toBe(false)
    // A user of the guest's own, who has no number on the host.
    await inside("chmod 777 /work; echo 'x:x:1234:99:::/bin/sh' >>/etc/passwd")
    await box.ok(["exec", "-u", "1234:99", "web", "sh", "-c", "echo theirs >/work/theirs"])
    expect((await lstat(box.path("work/theirs"))).uid).toBe(owner)
    await appendFile(box.path("work/made"), "changed\n")
    await until("the guest finds it", () => inside("cat /work/made"), {
      is: (text) => text.includes("changed"),
    })
    const again =
      "umount /given; mount -t virtiofs -o rw ovm.1 /given; echo x >/given/file; rm /given/file; chmod 777 /given/file; echo x >/given/new; ls /given"
    expect(await inside(again)).toMatch(/Read-only file system[\s\S]*file\nlink\nup$/)
    expect(await readFile(box.path("given/file"), "utf8")).toBe("of the host\n")
  })

  test("no path and no link leads out of them [OVMS-SHR-010]", async () => {
    await nothingLeadsOut(box, inside, "/work")
  })

  test("whose server is killed leave a machine that goes on and says so, and one that does not start leaves them to 9p [OVMS-SHR-035, OVMS-SHR-038, OVMS-STA-039]", async () => {
    const servers = serversOf(box.path("work"))
    const degraded = async () => (await box.json(["status", "web"])).degraded
    for (const pid of servers) {
      process.kill(pid, "SIGSTOP")
      await until("what was stopped is told", degraded, { is: (parts) => parts?.includes("share") })
      expect((await box.json(["status", "web"])).warnings.join()).toContain(`kill -CONT ${pid} `)
      process.kill(pid, "SIGCONT")
      await until("what goes on is told", degraded, { is: (parts) => parts === undefined })
    }
    process.kill(servers[0] ?? 0, "SIGKILL")
    await until("the machine is degraded", degraded, { is: (parts) => parts?.includes("share") })
    expect(await inside("cat /given/file")).toBe("of the host")
    expect(await box.ok(["status", "web"])).toContain("ovm restart web")
    // A daemon that comes later finds it as well, and a program that fails.
    await box.ok(["daemon", "--stop"])
    await until("the next daemon says so", degraded, { is: (parts) => parts?.includes("share") })
    await rm(found.program)
    await writeFile(found.program, "#!/bin/sh\necho no namespaces here >&2; exit 1\n", { mode: 0o755 })
    await box.ok(["restart", "--time", "0", "web"])
    expect(serversOf(box.directory)).toEqual([])
    expect(await inside("cat /given/file; echo 9p >/work/made")).toBe("of the host")
    expect(await typesOf(box)).toEqual(["9p", "9p"])
    const { warnings } = await box.json(["status", "web"])
    expect(warnings.join()).toContain("shares: by 9p, since virtiofs cannot be had")
    expect(warnings.join()).toContain("no namespaces here")
    expect(await degraded()).toBeUndefined()
  })
})

describe.skipIf(Boolean(missing) || !isRoot)("folders by virtiofs, of root", () => {
  let box: Sandbox
  let found: Finding
  let inside: (script: string) => Promise<string>

  beforeAll(async () => {
    found = await finding()
    box = await Sandbox.create(found.words)
    inside = insideOf(box)
    await sharedFolders(box)
    await box.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    await box.ok(["run", "-d", "--name", "web", "-v", "./work:/work", "-v", "./given:/given:ro", "debian:12"])
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await found?.[Symbol.asyncDispose]()
  })

  test("are those that are only read: what its guests make would have rights on the host [OVMS-SHR-012, OVMS-SHR-035]", async () => {
    expect(await inside("cat /given/file; cd /work; echo x >su; chmod 4755 su")).toBe("of the host")
    expect(await typesOf(box)).toEqual(["9p", "virtiofs"])
    expect((await lstat(box.path("work/su"))).mode.toString(8)).toBe("100600")
    expect(await inside("echo x >/given/file; chmod 777 /given/file")).toContain("Read-only file system")
  })

  test("by 9p in a guest without virtiofs, and who serves them ends with the VMM, killed or not [OVMS-AGT-130]", async () => {
    await inside("umount /given; rmmod virtiofs")
    await box.ok(["daemon", "--stop"])
    expect(await inside("cat /given/file; mount | grep -c ' /given type 9p'")).toBe("of the host\n1")
    expect(await typesOf(box)).toEqual(["9p", "9p"])
    expect(serversOf(box.directory)).not.toEqual([])
    const [{ instance_id: id }] = await box.instances()
    for (const pid of pidsIn(join(box.home, "instances", id), "qemu-system-x86")) process.kill(pid, "SIGKILL")
    await until("nobody serves them", () => serversOf(box.directory), { is: (pids) => pids.length === 0 })
  })
})
