import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { chmod, copyFile, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// A daemon is found wherever it was started from, and says so when it cannot be (design note 0028).

const skip = guestMissing
if (skip) console.log(`SKIP packages/ovm/test/daemon.test.ts: ${skip}`)

async function packGuest(host: Sandbox, env: Record<string, string> = {}): Promise<void> {
  await copyFile(await buildGuest(), host.path("kernel"))
  const args = ["--kernel", "kernel", "--args", "console=ttyS0 tick_ms=100", "--memory", "32MiB"]
  await host.ok(["pack", ...args, "-t", "m:1"], { cwd: host.directory, env })
}

describe.skipIf(Boolean(skip))("the daemon", () => {
  // OVMS-API-151
  test.each([
    ["is gone", async (socket: string) => rm(socket)],
    ["is a file", async (socket: string) => rm(socket).then(() => writeFile(socket, "a file"))],
  ])("is the same one after its socket %s", async (_, spoil) => {
    await using host = await Sandbox.create()
    await packGuest(host)
    const id = await host.ok(["run", "-d", "m:1"])
    const { daemon, paths } = await host.json(["info"])
    expect(paths.socket).toBe(join(host.home, "ovm.sock"))
    await spoil(paths.socket)
    expect(await host.json(["status", id])).toMatchObject({ state: "running" })
    expect((await host.json(["info"])).daemon).toEqual(daemon)
    await spoil(paths.socket)
    expect(await host.ok(["daemon", "--stop"])).toContain(`pid ${daemon.pid}`)
    expect((await host.json(["info"])).daemon).toEqual({ running: false })
    expect(await host.json(["status", id])).toMatchObject({ state: "running" })
  })

  test("that stands still is told of with its pid, by info too, and is not taken for none", async () => {
    await using host = await Sandbox.create()
    const pid = Number(await host.ok(["daemon", "--detach"]))
    await mkdir(join(host.home, "instances", "x"), { recursive: true })
    process.kill(pid, "SIGSTOP")
    try {
      await host.fails(["ps"], "OVM_DAEMON_UNREACHABLE", [host.home, `pid ${pid}`, `kill -9 ${pid}`])
      const { daemon } = await host.json(["info"])
      expect(daemon).toMatchObject({ running: true, pid, error: { code: "OVM_DAEMON_UNREACHABLE" } })
      expect(await host.ok(["info"])).toContain(`pid ${pid}`)
    } finally {
      process.kill(pid, "SIGCONT")
    }
    expect((await host.json(["info"])).daemon).toMatchObject({ running: true, pid })
  })

  test("whose lock was removed, and so may be another's root, ends, and the next one takes over", async () => {
    await using host = await Sandbox.create()
    await packGuest(host)
    const id = await host.ok(["run", "-d", "m:1"])
    const { pid } = (await host.json(["info"])).daemon
    await rm(join(host.home, "daemon.lock"))
    await until("it ends", () => existsSync(`/proc/${pid}/exe`), { is: (lives) => !lives })
    expect(await readFile(join(host.home, "daemon.log"), "utf8")).toContain(
      "daemon.lock was removed or replaced",
    )
    expect(await host.json(["status", id])).toMatchObject({ state: "running" })
    expect((await host.json(["info"])).daemon.pid).not.toBe(pid)
    await host.ok(["rm", "--force", id])
  })

  // OVMS-STA-027
  test("lives without a log: on a full disk, or with something else in its place", async () => {
    await using host = await Sandbox.create()
    await packGuest(host)
    await mkdir(join(host.home, "daemon.log"))
    const id = await host.ok(["run", "-d", "m:1"])
    expect(await host.json(["status", id])).toMatchObject({ state: "running" })
    await host.ok(["daemon", "--stop"])
    await rm(join(host.home, "daemon.log"), { recursive: true })
    await symlink("/dev/full", join(host.home, "daemon.log"))
    expect(await host.json(["status", id])).toMatchObject({ state: "running" })
    await host.ok(["rm", "--force", id])
    await host.ok(["daemon", "--stop"])
  })

  // OVMS-LIM-011, OVMS-STA-029
  test("takes its limits from daemon.json; with one that says nothing clear nothing starts, and all that runs can be ended", async () => {
    await using host = await Sandbox.create()
    await packGuest(host)
    const file = join(host.home, "daemon.json")
    await writeFile(file, '{"limits":{"running":1}}')
    const id = await host.ok(["run", "-d", "m:1"])
    await host.fails(["run", "-d", "m:1"], "OVM_TOO_MANY", ["1"])
    expect(await host.json(["info"])).toMatchObject({
      instances: { limit: 1 },
      settings: { path: file, present: true, limits: { running: 1 } },
    })
    await host.ok(["daemon", "--stop"])
    for (const [text, words] of [
      ['{"limits":{"running":"many"}}', "limits.running"],
      ['{"vmms":["fire fly"]}', `${file}: vmms[0]: no VMM is called "fire fly"`],
    ] as const) {
      await writeFile(file, text)
      await host.fails(["run", "-d", "m:1"], "OVM_SETTINGS_INVALID", [words])
      expect(await host.json(["status", id])).toMatchObject({ state: "running" })
      await host.ok(["daemon", "--stop"])
    }
    expect(await host.ok(["rm", "--force", id])).toBe(id)
    await host.ok(["daemon", "--stop"])
  })

  // OVMS-MAN-063, OVMS-MAN-064, OVMS-API-040
  test("gives a machine that says nothing what daemon.json says, and its guest that long to power off", async () => {
    await using host = await Sandbox.create()
    await packGuest(host)
    await host.ok(["pack", "--kernel", "kernel", "--args", "tick_ms=50 hlt=1", "-t", "silent:1"])
    const defaults = { vcpus: 2, memory: 64 << 20, graceMs: 300 }
    await writeFile(join(host.home, "daemon.json"), JSON.stringify({ defaults }))
    const id = await host.ok(["run", "-d", "silent:1"])
    expect((await host.json(["status", id])).resources).toMatchObject({ vcpus: 2, memory: 64 << 20 })
    expect((await host.json(["info"])).settings.defaults).toEqual({
      vcpus: 2,
      memory: 64 << 20,
      grace_ms: 300,
      network: "user",
    })
    expect(await host.ok(["info"])).toContain("2 vCPU, 64 MiB and 300 ms to power off unless told")
    const began = performance.now()
    expect(await host.json(["stop", id])).toMatchObject({ stop_method: "ended" })
    expect(performance.now() - began).toBeLessThan(9000)
    const other = await host.ok(["run", "-d", "m:1"])
    expect((await host.json(["status", other])).resources).toMatchObject({ vcpus: 2, memory: 32 << 20 })
    await host.ok(["rm", "--force", other])
  })

  test("works below a path that is too long for a socket, and by a link to its root", async () => {
    await using host = await Sandbox.create()
    const home = join(host.directory, "deep".repeat(38))
    const link = host.path("link")
    await symlink(home, link)
    const env = { OVM_HOME: home }
    try {
      await packGuest(host, env)
      const id = await host.ok(["run", "-d", "m:1"], { env })
      const { daemon } = await host.json(["info"], { env })
      for (const OVM_HOME of [home, link]) {
        expect(await host.json(["status", id], { env: { OVM_HOME } })).toMatchObject({ state: "running" })
        expect((await host.json(["info"], { env: { OVM_HOME } })).daemon).toEqual(daemon)
      }
      expect((await host.json(["info"])).daemon).toEqual({ running: false })
    } finally {
      await host.ovm(["rm", "--force", (await host.ovm(["ps", "-aq"], { env })).stdout.trim()], { env })
      await host.ok(["daemon", "--stop"], { env: { OVM_HOME: link } })
    }
  })

  // OVMS-API-153
  test.each(["0000", "0077", "0777"])(
    "and its clients keep everything to their user under a umask of %s",
    async (umask) => {
      await using host = await Sandbox.create()
      await packGuest(host)
      await rm(host.home, { recursive: true })
      const script = [
        `umask ${umask}`,
        "ovm pack --kernel kernel --args 'console=ttyS0 tick_ms=100' --memory 32MiB -t m:1",
        "ovm info >&2",
        "id=$(ovm run -d m:1)",
        'ovm snapshot "$id" --tag s1',
        "ovm run -d m:s1",
        "ovm images",
      ].join("\n")
      const { status, stderr } = await host.shell(`set -e\n${script}`)
      expect({ status, stderr }).toEqual({ status: 0, stderr: expect.any(String) })
      const open: string[] = []
      for (const name of ["", ...(await readdir(host.home, { recursive: true }))]) {
        const { mode } = await lstat(join(host.home, name))
        const blob = name.startsWith("store/blobs/sha256/")
        if ((mode & (blob ? 0o7333 : 0o7077)) !== 0) open.push(`${name} ${(mode & 0o7777).toString(8)}`)
      }
      expect(open).toEqual([])
    },
  )

  // OVMS-API-153
  test("makes a root private that others could look into", async () => {
    await using host = await Sandbox.create()
    for (const name of ["", "store", "cache", "instances"]) {
      await mkdir(join(host.home, name), { recursive: true })
      await chmod(join(host.home, name), 0o755)
    }
    await host.ok(["daemon", "--detach"])
    for (const name of ["", "store", "cache", "instances"])
      expect([name, (await lstat(join(host.home, name))).mode & 0o777]).toEqual([name, 0o700])
  })
})

const strace = Bun.which("strace")
if (!strace)
  console.log("SKIP packages/ovm/test/daemon.test.ts, file systems without locks: strace is not installed")

// OVMS-API-154
test.skipIf(!strace).each(["tag a b", "ps", "info", "daemon"])(
  "ovm %s says at once that a file system has no locks, and what to do",
  async (command) => {
    await using host = await Sandbox.create()
    await host.ok(["images"])
    await writeFile(join(host.home, "daemon.lock"), "")
    await expectUnlockable(host, command.split(" "))
  },
)

async function expectUnlockable(host: Sandbox, args: readonly string[]): Promise<void> {
  const tracing = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"]
  const child = Bun.spawn(["strace", ...tracing, ...PROGRAM, ...args], {
    env: { ...process.env, OVM_HOME: host.home },
    stdout: "pipe",
    stderr: "pipe",
  })
  const stderr = await new Response(child.stderr).text()
  expect([await child.exited, stderr]).toEqual([9, expect.stringContaining("OVM_LOCK_UNSUPPORTED")])
  expect(stderr).toContain(host.home)
  expect(stderr).toContain("OVM_HOME=")
}
