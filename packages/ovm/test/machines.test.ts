import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFile, readdir, readFile, readlink, rm, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { until } from "@ovms/testkit/until.ts"
import { expectFailure, finished, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// The life of machines, seen from a terminal: the bare-metal guest of testkit under the real QEMU.

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/machines.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("machines", () => {
  let box: Sandbox

  beforeAll(async () => {
    box = await Sandbox.create()
    await packGuests(box)
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  /**
   * brief: ends by itself. steady: goes on until it is stopped. deaf: does not hear the power button. The others end as
   * nobody would want them to.
   */
  async function packGuests(host: Sandbox): Promise<void> {
    const store = join(host.home, "store")
    await packGuest(store, "brief:latest", "ticks=2 tick_ms=20 off=1")
    await packGuest(store, "steady:latest", "button=1 tick_ms=50 hlt=1")
    await packGuest(store, "deaf:latest", "tick_ms=50 hlt=1")
    await packGuest(store, "rebooting:latest", "ticks=2 tick_ms=20")
    await packGuest(store, "faulty:latest", "ticks=1 tick_ms=1 fault=1")
    await packGuest(store, "panicking:latest", "ticks=2 tick_ms=20 panic=1")
  }

  const consoleHas = (host: Sandbox, id: string, text: string) => host.console(id, text)

  const states = async (host: Sandbox, ...more: string[]) =>
    (await host.instances(...more)).map(({ state }: { state: string }) => state)

  describe("run", () => {
    test("shows the console, ends with the guest, and the record stays", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      const { status, stdout, stderr } = await host.ovm(["run", "brief"])
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
      expect(stdout).toContain("GUEST-READY")
      expect(stdout).toContain("TICK 2")
      expect(stdout.trimEnd()).toEndWith("GUEST-OFF")
      expect(await states(host)).toEqual([])
      expect(await states(host, "--all")).toEqual(["stopped"])
    })

    // OVMS-STA-034
    test.skipIf(mountMissing !== "")(
      `a guest that stands still because the disk is full is told of, and goes on ${mountMissing}`,
      async () => {
        await using host = await Sandbox.create()
        await packGuests(host)
        const disk = await host.file("disk.raw", "")
        await truncate(disk, 64 << 20)
        const diskLayers = [{ path: disk, format: "raw" as const }]
        await packGuest(join(host.home, "store"), "growing:latest", "tick_ms=20 grow=4", { diskLayers })
        const instances = join(host.home, "instances")
        await withTmpfs(instances, 24 << 20, async () => {
          const child = host.begin(["run", "--name", "growing", "growing"])
          // Asked for now: it may have ended by the time that its end is wanted.
          const end = finished(child)
          let words = ""
          child.stderr?.on("data", (chunk) => {
            words += chunk
          })
          await new Promise((resolve) => child.stdout?.once("data", resolve))
          const ballast = join(instances, "ballast")
          await writeFile(ballast, Buffer.alloc(8 << 20))
          await until("it is told", () => words.includes("the disk of the host is full"))
          expect(words).toContain("ovm resume growing")
          await rm(ballast)
          await host.ok(["resume", "growing"])
          await host.ok(["stop", "--time", "0", "growing"])
          expect((await end).status).toBe(0)
          await host.ok(["rm", "growing"])
        })
      },
    )

    // OVMS-STA-031, OVMS-STA-032
    test("a guest that resets or panics is told of, with an exit status of its own", async () => {
      for (const [image, code, word] of [
        ["rebooting", "OVM_GUEST_RESET", "reset"],
        ["faulty", "OVM_GUEST_RESET", "reset"],
        ["panicking", "OVM_GUEST_PANICKED", "panicked"],
      ] as const) {
        const { stdout } = await box.fails(["run", "--name", image, image], code, [word, `ovm logs`])
        expect(stdout).toContain("TICK 1")
        // Of one that is forgotten there are no logs.
        const { stderr } = await box.fails(["run", "--rm", image], code, [word])
        expect(stderr).not.toContain("ovm logs")
      }
      expect(await box.json(["status", "rebooting"])).toMatchObject({
        state: "stopped",
        exit: { reason: "guest-reset" },
      })
      expect(await box.json(["status", "panicking"])).toMatchObject({
        state: "failed",
        exit: { reason: "guest-panic" },
        error: { code: "OVM_GUEST_PANICKED" },
      })
    })

    // OVMS-STA-047, OVMS-STA-048, OVMS-API-062
    test("a guest's result is the exit status of whoever waits for it", async () => {
      await packGuest(join(box.home, "store"), "job:latest", "tick_ms=1 ticks=1 result=42")
      const ran = await box.ovm(["run", "--name", "job", "job"])
      expect({ ...ran, stdout: "" }).toEqual({ status: 42, stdout: "", stderr: "" })
      expect(ran.stdout).toEndWith("GUEST-RESULT\r\n")
      expect(await box.json(["status", "job"])).toMatchObject({
        state: "stopped",
        exit: { reason: "result", status: 42 },
      })
      expect(await box.ovm(["wait", "job"])).toEqual({ status: 42, stdout: "result 42\n", stderr: "" })
      const several = await box.ovm(["wait", "job", "nobody"])
      expect(several).toMatchObject({ status: 42, stderr: expect.stringContaining("OVM_INSTANCE_UNKNOWN") })
      expect(await box.ok(["ps", "--all"])).toMatch(/job .*result 42/)
      expect((await box.ovm(["run", "--rm", "job"])).status).toBe(42)
      await box.ok(["rm", "job"])
    })

    test("--rm leaves nothing, and says what became of the machine", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      const { status, stdout, stderr } = await host.ovm(["run", "--rm", "--name", "brief", "brief"])
      expect({ status, stderr }).toEqual({ status: 0, stderr: "brief powered off\n" })
      expect(stdout).toContain("TICK 2")
      expect(await states(host, "--all")).toEqual([])
      expect(await readdir(join(host.home, "instances"))).toEqual([])
    })

    // OVMS-STA-044, OVMS-STA-046
    test("--rm is the daemon's to do where nobody waits for the end any more", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      const killed = host.begin(["run", "--rm", "--name", "web", "steady"])
      const over = finished(killed)
      await new Promise((resolve) => killed.stdout?.once("data", resolve))
      killed.kill("SIGKILL")
      expect((await over).status).toBe(137)
      expect(await host.ok(["status", "web"])).toMatch(/^removed +once it has ended$/m)
      await host.ok(["stop", "--time", "0", "web"])
      expect(await host.ok(["ps", "--all"])).toMatch(/ web .* stopped \(removing\)/)
      await host.ok(["run", "--detach", "--rm", "--name", "web", "brief"])
      expect(await host.ok(["wait", "web"])).toBe("guest-shutdown")
      await until("both are gone", () => states(host, "--all"), { is: (all) => all.length === 0 })
      expect(await readdir(join(host.home, "instances"))).toEqual([])
    })

    test("a stop of a machine that goes with its end has succeeded", async () => {
      for (let round = 0; round < 3; round++) {
        const child = box.begin(["run", "--rm", "--name", "brief-life", "steady"])
        const said = new Promise((resolve) => child.stdout?.once("data", resolve))
        const over = finished(child)
        await said
        await box.ok(["stop", "--time", "0", "brief-life"])
        expect((await over).stderr).toBe("brief-life was ended\n")
      }
    })

    test("a daemon is started when none answers, and serves the next command too", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      expect(await host.json(["info"])).toMatchObject({ daemon: { running: false } })
      await host.ok(["run", "--rm", "brief"])
      const { daemon } = await host.json(["info"])
      expect(daemon.running).toBe(true)
      await host.ok(["run", "--rm", "brief"])
      expect((await host.json(["info"])).daemon.pid).toBe(daemon.pid)
    })

    test("the first SIGTERM or Ctrl-C asks the guest to power off", async () => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        const child = box.begin(["run", "--rm", "--name", `polite-${signal}`, "steady"])
        child.stdout?.once("data", () => child.kill(signal))
        const { status, stdout, stderr } = await finished(child)
        expect({ status, stderr }).toEqual({ status: 0, stderr: `polite-${signal} powered off\n` })
        expect(stdout).toContain("GUEST-READY")
      }
    })

    test("the second kills a machine that does not listen", async () => {
      const child = box.begin(["run", "--name", "stubborn", "deaf"])
      child.stdout?.once("data", async () => {
        child.kill("SIGINT")
        await until("it is stopping", () => box.json(["status", "stubborn"]), {
          is: ({ state }) => state === "stopping",
        })
        child.kill("SIGINT")
      })
      expectFailure(await finished(child), "OVM_INTERRUPTED", ["killed"])
      expect(await box.json(["status", "stubborn"])).toMatchObject({ state: "stopped", stop_method: "ended" })
    })

    test("a reader of the console that goes away is no error", async () => {
      const id = await box.ok(["run", "-d", "steady"])
      const { stdout, stderr } = await box.shell(
        `{ ovm logs --follow ${id}; echo "status $?" >&2; } | head -n 2`,
      )
      expect(stdout).toContain("GUEST-READY")
      expect(stderr).toBe("status 0\n")
      await box.ok(["rm", "--force", id])
    })

    test("what the options say is what the guest sees", async () => {
      const args = [
        "--memory",
        "48MiB",
        "--cpus",
        "2",
        "--args",
        "ticks=1 off=1 hello",
        "--name",
        "options",
        "--read-only",
      ]
      const output = await box.ok(["run", ...args, "brief"])
      expect(output).toContain("CMDLINE [ticks=1 off=1 hello]")
      expect(Number(/ram_kib=(\d+)/.exec(output)?.[1])).toBeGreaterThan(40 * 1024)
      const { resources, state } = await box.json(["status", "options"])
      expect({ ...resources, state }).toMatchObject({ memory: 48 << 20, vcpus: 2, state: "stopped" })
    })

    test("takes a layout and a manifest file by their paths, relative to where one is", async () => {
      await using other = await Sandbox.create()
      await packGuest(join(other.home, "store"), "only:latest", "ticks=2 off=1")
      await copyFile(await buildGuest(), other.path("kernel"))
      const cwd = other.directory
      expect(await box.ok(["run", "--rm", "./home/store"], { cwd })).toContain("TICK 2")
      const { manifest } = await other.json(["inspect", "only"])
      await other.file("manifest.json", manifest)
      expect(await box.ok(["run", "--rm", "./manifest.json"], { cwd })).toContain("TICK 2")
      await box.fails(["run", "manifest.json"], "OVM_NAME_UNKNOWN", ["./manifest.json"], { cwd })
    })

    test.skipIf(Boolean(registryMissing))("pulls what is missing, as --pull says", async () => {
      await using registry = await startRegistry()
      await using other = await Sandbox.create()
      const name = `${registry.host}/demo/brief:1`
      await box.ok(["tag", "brief", name])
      await box.ok(["push", name])
      await other.fails(["run", "--pull", "never", name], "OVM_NAME_UNKNOWN", [name])
      await other.fails(["start", name], "OVM_NAME_UNKNOWN", [name])
      const { stdout, stderr } = await other.ovm(["run", "--rm", name])
      expect(stdout).toContain("TICK 2")
      const [warning, end] = stderr.split("\n")
      expect(warning).toBe(`warning: ${name}: the machine is not signed, and no policy asks for that`)
      expect(end).toMatch(/^brief-\w+ powered off$/)
      await registry.stop()
      expect(await other.ok(["run", "--rm", name])).toContain("TICK 2")
      await other.fails(["run", "--pull", "always", name], "OVM_REGISTRY_UNREACHABLE", [registry.host])
    })
  })

  // OVMS-API-163
  test("what has ended is started again by its name, with its disk and what it was told; restart does both", async () => {
    const id = await box.ok(["run", "-d", "--name", "again", "--memory", "48MiB", "steady"])
    await consoleHas(box, "again", "TICK 1")
    await box.ok(["stop", "again"])
    await box.fails(["run", "-d", "--name", "again", "steady"], "OVM_NAME_IN_USE", ["ovm start"])
    await box.fails(["start", "--memory", "64MiB", "again", "other"], "OVM_USAGE", ["ovm run --detach"])
    expect(await box.json(["start", "again"])).toEqual({ instance_id: id, status: "running" })
    await consoleHas(box, "again", "TICK 1")
    expect((await box.json(["status", id])).resources.memory).toBe(48 << 20)
    expect(await box.ok(["logs", "--previous", "again"])).toContain("POWER-BUTTON")
    expect(await box.ok(["logs", "again"])).not.toContain("POWER-BUTTON")
    await box.fails(["logs", "--previous", "--follow", "again"], "OVM_USAGE", ["--follow"])
    expect(await box.ok(["start", "again"])).toBe(id)
    const { started } = await box.json(["status", id])
    expect(await box.ok(["restart", "again"])).toBe(id)
    const now = await box.json(["status", id])
    expect(now.state).toBe("running")
    expect(Date.parse(now.started)).toBeGreaterThan(Date.parse(started))
    await box.fails(["start", "again", "nobody"], "OVM_INSTANCE_UNKNOWN", ["nobody"])
    await box.fails(["start", "nobody"], "OVM_NAME_UNKNOWN", ["nobody", "no machine", "ovm ps --all"])
    await box.fails(["start", "--memory", "64MiB", "again"], "OVM_USAGE", ["again is a machine"])
    await box.ok(["pause", "again"])
    await box.fails(["start", "again"], "OVM_STATE_CONFLICT", ["paused", "ovm resume again"])
    await box.ok(["resume", "again"])
    // What would keep it from being started is known before it is stopped.
    const policy = join(box.home, "policy.json")
    await writeFile(policy, '{"schemaVersion":1,"default":{"rule":"reject"}}')
    expect((await box.ovm(["restart", "again"])).stderr).toContain("OVM_POLICY")
    await rm(policy)
    expect((await box.json(["status", id])).state).toBe("running")
    // One that was just killed is started, and not said to run.
    const [pid] = (await readFile(join(box.home, "instances", id, "pid"), "utf8")).split(" ")
    process.kill(Number(pid), "SIGKILL")
    expect(await box.ok(["start", "again"])).toBe(id)
    expect((await box.json(["status", id])).state).toBe("running")
    await box.fails(["restart", "nobody"], "OVM_INSTANCE_UNKNOWN", ["nobody"])
    await box.ok(["rm", "--force", "again"])
  })

  // OVMS-API-170, OVMS-API-173
  test("create makes one without starting it, rename calls it otherwise, wait says how it ended", async () => {
    const id = await box.ok(["create", "--name", "made", "-l", "tier=web", "--label", "mine", "brief"])
    const listed = (...filters: string[]) =>
      box.ok(["ps", "--all", "--quiet", ...filters.flatMap((filter) => ["--filter", filter])])
    expect(await listed("label=tier=web", "label=mine")).toBe(id)
    expect(await listed("label=tier=db")).toBe("")
    expect(await listed("label=tier", "label=yours")).toBe("")
    expect(await box.ok(["status", "made"])).toMatch(/^label +tier=web\nlabel +mine$/m)
    await box.fails(["ps", "--filter", "state=running"], "OVM_USAGE", ["state=running", "label=NAME"])
    await box.fails(["create", "--label", "-x", "brief"], "OVM_REQUEST_INVALID", ["/overrides/labels"])
    expect(await box.ok(["ps"])).not.toContain("made")
    expect(await box.ok(["ps", "--all"])).toContain("stopped (never started)")
    expect(await box.ok(["wait", "made"])).toBe("stopped")
    await box.fails(["create", "--name", "made", "brief"], "OVM_NAME_IN_USE", ["made"])
    await box.fails(["create", "nothing"], "OVM_NAME_UNKNOWN", ["nothing"])
    expect(await box.ok(["rename", "made", "brief-one"])).toBe(id)
    await box.fails(["rename", "made", "x"], "OVM_INSTANCE_UNKNOWN", ["made"])
    await box.fails(["rename", "brief-one", "-x"], "OVM_USAGE", ["-x"])
    await box.fails(["rename", "brief-one", "a b"], "OVM_REQUEST_INVALID", ["name"])
    await box.ok(["start", "brief-one"])
    expect(await box.json(["wait", "brief-one"])).toMatchObject({
      instance_id: id,
      name: "brief-one",
      status: "stopped",
      exit: { reason: "guest-shutdown", status: 0 },
    })
    await box.ok(["rm", "brief-one"])
    // As `ovm run` would have ended.
    for (const [image, status, code] of [
      ["rebooting", 10, "OVM_GUEST_RESET"],
      ["panicking", 11, "OVM_GUEST_PANICKED"],
    ] as const) {
      const name = `${image}-made`
      await box.ok(["create", "--name", name, image])
      await box.ovm(["start", name])
      const waited = await box.ovm(["wait", name])
      expect([waited.status, waited.stderr]).toEqual([status, expect.stringContaining(code)])
      await box.ok(["rm", name])
    }
  })

  // OVMS-STA-040, OVMS-API-182
  test("a restart policy starts one again that reset, and tells how often", async () => {
    await box.fails(["run", "-d", "--restart", "sometimes", "brief"], "OVM_USAGE", [
      "sometimes",
      "unless-stopped",
    ])
    await box.fails(["run", "--rm", "--restart", "always", "brief"], "OVM_USAGE", ["--restart"])
    // Whoever shows it is held until both of its lives are over, and shows both.
    const attached = await heldRun("twice", "on-failure:1", "rebooting")
    await until("both are over", () => box.json(["status", "twice"]), {
      is: ({ restarts, restarting_at, state }) => restarts === 1 && state === "stopped" && !restarting_at,
    })
    attached.child.kill("SIGCONT")
    expect((await attached.end).status).toBe(10)
    expect(attached.lives()).toBe(2)
    expect(await box.json(["status", "twice"])).toMatchObject({ restart: "on-failure:1", restarts: 1 })
    expect(await box.ok(["status", "twice"])).toMatch(/^restarts +1$/m)
    await box.ok(["rm", "twice"])
    const forever = await heldRun("forever", "always", "brief")
    // For seconds by then: longer than the commands take.
    const before = await until("it waits", () => box.json(["status", "forever"]), {
      is: ({ restarts = 0, restarting_at }) => restarts >= 6 && restarting_at !== undefined,
    })
    forever.child.kill("SIGCONT")
    // Of those that it missed the last two are kept, and shown before there is another one.
    // It may have got to see the first one before it was held.
    await until("two lives are shown", () => forever.lives() >= 2)
    expect(await box.ok(["ps", "--all"])).toMatch(/forever .*stopped \(restarting\)/)
    expect(await box.json(["status", "forever"])).toMatchObject({ restarts: before.restarts })
    await box.ok(["stop", "forever"])
    expect((await forever.end).status).toBe(0)
    expect(await box.ok(["wait", "forever"])).toBe("guest-shutdown")
    await box.ok(["rm", "forever"])
  })

  /** `ovm run`, stopped by SIGSTOP as soon as there is an instance of it. */
  async function heldRun(name: string, policy: string, image: string) {
    const instances = () => readdir(join(box.home, "instances")).catch(() => [])
    const there = new Set(await instances())
    const child = box.begin(["run", "--name", name, "--restart", policy, image])
    const end = finished(child)
    let shown = ""
    child.stdout?.on("data", (chunk) => {
      shown += chunk
    })
    while ((await instances()).every((id) => there.has(id))) await Bun.sleep(1)
    child.kill("SIGSTOP")
    return { child, end, lives: () => shown.match(/GUEST-READY/g)?.length ?? 0 }
  }

  // OVMS-STA-014
  test("a daemon that is killed while it starts one again leaves one that can be started again", async () => {
    const id = await box.ok(["run", "-d", "--name", "cut", "steady"])
    for (const ms of [0, 5, 20, 40, 80]) {
      await box.ok(["stop", "cut"])
      const { pid } = (await box.json(["info"])).daemon
      const starting = box.ovm(["start", "cut"])
      await Bun.sleep(ms)
      process.kill(pid, "SIGKILL")
      await starting
      const info = await until("it runs, or has ended", () => box.json(["status", id]), {
        is: ({ state }) => state !== "starting",
      })
      expect(["running", "stopped", "failed"]).toContain(info.state)
      expect(await box.ok(["start", "cut"])).toBe(id)
      await consoleHas(box, "cut", "TICK 1")
    }
    await box.ok(["rm", "--force", "cut"])
  })

  test("whoever waits for the end of a life sees it, though another one has begun", async () => {
    const id = await box.ok(["run", "-d", "--name", "lives", "deaf"])
    await consoleHas(box, "lives", "TICK 1")
    const stopping = box.ovm(["stop", "--time", "30", "lives"])
    await until("it is being stopped", () => box.json(["status", id]), {
      is: ({ state }) => state === "stopping",
    })
    await box.ok(["stop", "--time", "0", "lives"])
    await box.ok(["start", "lives"])
    expect((await stopping).status).toBe(0)
    await box.ok(["rm", "--force", "lives"])
  })

  // OVMS-STA-015
  test("a grace time outlives the daemon that gave it", async () => {
    const id = await box.ok(["run", "-d", "--name", "graced", "deaf"])
    await consoleHas(box, "graced", "TICK 1")
    const { pid } = (await box.json(["info"])).daemon
    const stopping = box.ovm(["stop", "--time", "600", "graced"])
    await until("it is being stopped", () => box.json(["status", id]), {
      is: ({ state }) => state === "stopping",
    })
    const record = JSON.parse(await readFile(join(box.home, "instances", id, "instance.json"), "utf8"))
    expect(record.stopBy - Date.now()).toBeGreaterThan(500_000)
    process.kill(pid, "SIGKILL")
    await stopping
    // In place of waiting for minutes: the time that the next daemon goes by.
    await writeFile(
      join(box.home, "instances", id, "instance.json"),
      JSON.stringify({ ...record, stopBy: Date.now() + 2000 }),
    )
    const began = Date.now()
    await until("it is stopped", () => box.json(["status", id]), { is: ({ state }) => state === "stopped" })
    expect(Date.now() - began).toBeGreaterThan(500)
    await box.ok(["rm", "graced"])
  })

  test("run --detach, start, ps, status, logs, stop, rm", async () => {
    // Started machines are known by their id, the start of it, and their name.
    const { instance_id: id, status } = await box.json(["run", "-d", "--name", "web", "steady"])
    expect(status).toBe("running")
    const other = await box.ok(["start", "--name", "other", "steady"])
    expect(other).toMatch(/^[0-9a-f-]{36}$/)
    expect(new Set((await box.ok(["ps", "--quiet"])).split("\n"))).toEqual(new Set([id, other]))
    const listed = (await box.instances()).find(({ name }: { name: string }) => name === "web")
    expect(listed).toMatchObject({ instance_id: id, state: "running", image: { reference: "steady:latest" } })
    expect(await box.ok(["ps"])).toMatch(
      new RegExp(`^${id.slice(0, 8)} +web +steady:latest +running +qemu/`, "m"),
    )
    for (const key of [id, id.slice(0, 8), "web"])
      expect(await box.json(["status", key])).toMatchObject({
        instance_id: id,
        name: "web",
        state: "running",
      })
    expect(await box.ok(["status", "web"])).toMatch(/^state +running$/m)

    // The console: what there is, and what comes.
    await consoleHas(box, "web", "TICK 1")
    const follower = box.begin(["logs", "--follow", "web"])
    const following = finished(follower)

    // Names and images that are in use stay.
    await box.fails(["run", "-d", "--name", "web", "steady"], "OVM_NAME_IN_USE", ["web"])
    await box.fails(["rmi", "steady"], "OVM_IMAGE_IN_USE", ["steady:latest", id])
    await box.fails(["rm", "web"], "OVM_STATE_CONFLICT", ["running", "ovm stop"])

    // Stopping waits for the end; a second time is no error.
    expect(await box.json(["stop", "web"])).toEqual({
      instance_id: id,
      status: "stopped",
      stop_method: "guest",
    })
    expect(await box.ok(["stop", id, "other"])).toBe(`${id}\n${other}`)
    const followed = await following
    expect(followed).toMatchObject({ status: 0, stderr: "" })
    expect(followed.stdout).toContain("TICK 1")
    expect(await box.json(["status", id])).toMatchObject({
      state: "stopped",
      exit: { reason: "guest-shutdown" },
    })
    expect(await box.ok(["logs", id])).toContain("GUEST-READY")

    // Removing forgets; the others are removed whatever becomes of one.
    const { status: exit, stdout } = await box.ovm(["rm", "nobody", id, "other"])
    expect({ exit, stdout }).toEqual({ exit: 3, stdout: `${id}\n${other}\n` })
    await box.fails(["status", "web"], "OVM_INSTANCE_UNKNOWN", ["web"])
  })

  test("stop ends what does not listen, when its time is over", async () => {
    const id = await box.ok(["run", "-d", "deaf"])
    await consoleHas(box, id, "TICK 1")
    expect(await box.json(["stop", "--time", "0", id])).toMatchObject({
      status: "stopped",
      stop_method: "ended",
    })
    await box.ok(["rm", id])
    const forced = await box.ok(["run", "-d", "deaf"])
    expect(await box.ok(["rm", "--force", forced])).toBe(forced)
  })

  // OVMS-API-140
  test("machines are paused and go on, several at once, and what cannot be is said by name", async () => {
    await box.ok(["run", "-d", "--name", "calm", "steady"])
    await box.ok(["run", "-d", "--name", "quiet", "steady"])
    const ids = (await box.ok(["pause", "calm", "quiet"])).split("\n")
    expect(ids).toHaveLength(2)
    expect(await box.ok(["status", "calm"])).toContain("paused (request)")
    expect(await box.ok(["ps"])).toContain("paused (request)")
    expect(await box.json(["resume", "calm"])).toEqual({ instance_id: ids[0], status: "running" })
    const { stdout } = await box.fails(["resume", "nobody", "quiet"], "OVM_INSTANCE_UNKNOWN", ["nobody"])
    expect(stdout).toBe(`${ids[1]}\n`)
    expect((await box.json(["status", "quiet"])).state).toBe("running")
    await box.ok(["stop", "-t", "0", "calm", "quiet"])
    for (const what of ["pause", "resume"]) await box.fails([what, "calm"], "OVM_STATE_CONFLICT", ["stopped"])
    expect(await box.ok(["__complete", "pause", ""])).toContain("calm")
    await box.ok(["rm", "calm", "quiet"])
  })

  test("a snapshot that stops its machine says what became of it", async () => {
    await box.ok(["run", "-d", "--name", "final", "steady"])
    const { status, stdout, stderr } = await box.ovm(["snapshot", "final", "--tag", "final", "--stop"])
    expect({ status, stderr }).toEqual({ status: 0, stderr: "final was ended\n" })
    expect(stdout).toMatch(/^sha256:/)
    expect(await box.json(["status", "final"])).toMatchObject({ state: "stopped", stop_method: "ended" })
    await box.ok(["rm", "final"])
  })

  describe("what cannot be run", () => {
    test.each([
      [["run", "nothing"], "OVM_NAME_UNKNOWN", ["nothing"]],
      [["run", "./nowhere.json"], "OVM_FILE_UNREADABLE", ["nowhere.json"]],
      [["run", "-d", "--name", "a/b", "brief"], "OVM_REQUEST_INVALID", ["a/b"]],
      [["run", "-d", "--vmm", "cherrybomb", "brief"], "OVM_UNSUPPORTED", ["cherrybomb", "qemu"]],
      [["start", "--memory", "16TiB", "brief"], "OVM_UNSUPPORTED", ["memory"]],
    ] as const)("%p", async (args, code, culprits) => {
      const before = await box.ok(["ps", "--quiet"])
      const { stdout } = await box.fails(args, code, culprits)
      expect(stdout).toBe("")
      expect(await box.ok(["ps", "--quiet"])).toBe(before)
    })

    test("a VMM that dies is OVM_VMM_FAILED, status 7, for those who watch", async () => {
      const child = box.begin(["run", "--name", "doomed", "steady"])
      child.stdout?.once("data", async () => {
        const { instance_id } = await box.json(["status", "doomed"])
        for (const pid of await vmmsOf(join(box.home, "instances", instance_id))) process.kill(pid, "SIGKILL")
      })
      expectFailure(await finished(child), "OVM_VMM_FAILED", ["ovm logs"])
      expect(await box.json(["status", "doomed"])).toMatchObject({
        state: "failed",
        error: { code: "OVM_VMM_FAILED" },
      })
    })

    test("without QEMU it is OVM_VMM_MISSING", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      const env = { PATH: host.path("empty") }
      await host.fails(["run", "brief"], "OVM_VMM_MISSING", ["qemu"], { env })
      expect((await host.json(["info"], { env })).vmms).toMatchObject([
        { name: "qemu", error: { code: "OVM_VMM_MISSING" } },
      ])
    })

    test("where QEMU only emulates, `ovm info` says that this is no isolation (OVMS-SEC-033)", async () => {
      await using host = await Sandbox.create()
      const [{ accelerator }] = (await host.json(["info"])).vmms
      expect((await host.ok(["info"])).includes("no isolation")).toBe(accelerator === "tcg")
    })
  })

  describe("the daemon", () => {
    test("machines outlive it, however it ends, and the next one has them again (OVMS-STA-005)", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      const id = await host.ok(["run", "-d", "steady"])
      for (const end of ["asked", "killed"]) {
        const { pid } = (await host.json(["info"])).daemon
        if (end === "asked") await host.ok(["daemon", "--stop"])
        else process.kill(pid, "SIGKILL")
        await until("the daemon is gone", () => host.json(["info"]), { is: ({ daemon }) => !daemon.running })
        expect(await host.json(["status", id])).toMatchObject({ instance_id: id, state: "running" })
        expect((await host.json(["info"])).daemon.pid).not.toBe(pid)
      }
      expect(await host.json(["stop", id])).toMatchObject({ status: "stopped", stop_method: "guest" })
      process.kill((await host.json(["info"])).daemon.pid, "SIGKILL")
      await until("the daemon is gone", () => host.json(["info"]), { is: ({ daemon }) => !daemon.running })
      expect(await host.json(["status", id])).toMatchObject({ state: "stopped", exit: { status: 0 } })
    })

    test("there is one a root", async () => {
      await using host = await Sandbox.create()
      expect(Number(await host.ok(["daemon", "--detach"]))).toBe((await host.json(["info"])).daemon.pid)
      await host.fails(["daemon"], "OVM_DAEMON_RUNNING", [host.home])
      await host.fails(["daemon", "--detach"], "OVM_DAEMON_RUNNING", [host.home])
      await host.ok(["daemon", "--stop"])
      await host.fails(["daemon", "--stop"], "OVM_DAEMON_UNREACHABLE", [host.home])
    })

    test("two commands that start one at the same moment both succeed", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      const both = await Promise.all([host.json(["run", "-d", "steady"]), host.json(["run", "-d", "steady"])])
      expect(both.map(({ status }) => status)).toEqual(["running", "running"])
      expect(await states(host)).toEqual(["running", "running"])
    })

    test("in the foreground it says when it listens, and SIGTERM ends it", async () => {
      await using host = await Sandbox.create()
      const child = host.begin(["daemon"])
      child.stderr?.once("data", () => child.kill("SIGTERM"))
      const { status, stdout, stderr } = await finished(child)
      expect({ status, stdout }).toEqual({ status: 0, stdout: "" })
      const events = stderr
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).event)
      expect(events).toEqual(["listening", "ended"])
    })

    test("one that cannot start is OVM_DAEMON_UNREACHABLE, with its last words", async () => {
      await using host = await Sandbox.create()
      await packGuests(host)
      await writeFile(join(host.home, "instances"), "not a folder")
      await host.fails(["run", "brief"], "OVM_DAEMON_UNREACHABLE", [
        "instances",
        join(host.home, "daemon.log"),
      ])
    })
  })
})

/** The VMM of an instance works in the instance's own directory. */
async function vmmsOf(directory: string): Promise<number[]> {
  const found: number[] = []
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => "")
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")
    if (cwd === directory && name.startsWith("qemu")) found.push(Number(pid))
  }
  return found
}
