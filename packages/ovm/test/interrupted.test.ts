import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { chmod, copyFile, mkdir, readdir } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Fault, type Passing, stalled, startFaults } from "@ovms/testkit/faults.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { expectFailure, finished, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// Power cuts of all kinds, each followed by the same command again.

const skip = guestMissing || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/interrupted.test.ts: ${skip}`)

const namespaces = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0
if (!namespaces) console.log("SKIP packages/ovm/test/interrupted.test.ts: a full disk needs user namespaces")

describe.skipIf(Boolean(skip))("a transfer", () => {
  let registry: RegistryServer
  let box: Sandbox
  let digest: string

  beforeAll(async () => {
    registry = await startRegistry()
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    await box.file("disk.raw", Buffer.alloc(2 << 20, "no zeros"))
    const name = `${registry.host}/cut/machine:1`
    digest = (await box.json(["pack", "--kernel", "kernel", "--layer", "disk.raw", "-t", name])).digest
    await box.ok(["push", name])
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  const never = () => new Promise<undefined>(() => {})
  const isBlob = ({ request, url }: Passing, method: string) =>
    request.method === method && url.pathname.includes("/blobs/")
  /** The disk stops coming after a part of it. */
  const stallingDisk: Fault = async (passing) => {
    if (!isBlob(passing, "GET")) return undefined
    const answer = await passing.forward()
    return Number(answer.headers.get("content-length")) > 1 << 20 ? stalled(answer, 1 << 20) : answer
  }
  const machineAt = (host: string) => `${host}/cut/machine:1`
  const ingest = async (home: string) => await readdir(join(home, "store/ovm/ingest")).catch(() => [])

  test("kill -9 half way through a pull leaves no name; the same again succeeds", async () => {
    await using there = await Sandbox.create()
    await using proxy = startFaults(stallingDisk, registry.host)
    const pulling = there.begin(["pull", machineAt(proxy.host)])
    const ended = finished(pulling)
    await until("bytes that came", () => ingest(there.home), { is: ({ length }) => length > 0 })
    pulling.kill("SIGKILL")
    expect((await ended).status).toBe(137)
    expect(await there.json(["images"])).toEqual([])

    proxy.fault = () => undefined
    expect(await there.json(["pull", machineAt(proxy.host)])).toMatchObject({ digest })
    expect(await there.ok(["validate", machineAt(proxy.host)])).toContain("valid")
    // What the killed one left goes with the next collection.
    await there.ok(["rmi", machineAt(proxy.host)])
    expect(await ingest(there.home)).toEqual([])
    expect(await there.blobs()).toEqual([])
  })

  test("kill -9 half way through a push leaves no tag; the same again succeeds", async () => {
    let halfWay = false
    const fault: Fault = async (passing) => {
      if (!isBlob(passing, "PUT")) return undefined
      halfWay = true
      return await never()
    }
    await using proxy = startFaults(fault, registry.host)
    const name = `${proxy.host}/cut/again:1`
    await box.ok(["tag", machineAt(registry.host), name])
    const pushing = box.begin(["push", name])
    const ended = finished(pushing)
    await until("a blob on its way", () => halfWay)
    pushing.kill("SIGKILL")
    expect((await ended).status).toBe(137)
    await using there = await Sandbox.create()
    await there.fails(["inspect", `${registry.host}/cut/again:1`], "OVM_NAME_UNKNOWN", ["cut/again:1"])

    proxy.fault = () => undefined
    expect(await box.json(["push", name])).toEqual({ reference: name, digest })
    expect(await there.json(["pull", `${registry.host}/cut/again:1`])).toMatchObject({ digest })
  })

  test("Ctrl-C ends a pull with status 130, and what was fetched is gone on with", async () => {
    await using there = await Sandbox.create()
    await using proxy = startFaults(stallingDisk, registry.host)
    const pulling = there.begin(["pull", machineAt(proxy.host)])
    const ended = finished(pulling)
    await until("bytes that came", () => ingest(there.home), { is: ({ length }) => length > 0 })
    pulling.kill("SIGINT")
    expectFailure(await ended, "OVM_INTERRUPTED", [])
    proxy.fault = () => undefined
    expect(await there.json(["pull", machineAt(proxy.host)])).toMatchObject({ digest })
  })

  test.skipIf(!namespaces)("a full disk is named, and what was fetched makes room again", async () => {
    await using there = await Sandbox.create()
    await mkdir(there.home)
    const name = machineAt(registry.host)
    // With more room the same command succeeds.
    const { status, stdout, stderr } = await there.shell(`
      export -f ovm
      unshare -rm bash -c '
        mount -t tmpfs -o size=1m none ${there.home}
        ovm pull ${name}; echo "status $?"
        ovm run ${name}; echo "status $?"
        find ${there.home}/store/blobs ${there.home}/store/ovm -type f ! -name lock ! -name reserve
        mount -o remount,size=1g ${there.home}
        ovm pull --json ${name}'`)
    expect(stderr.match(/^error: OVM_NO_SPACE: .*no space left on device$/gm)).toHaveLength(2)
    expect(stdout).toStartWith("status 9\nstatus 9\n{")
    expect(stdout).toContain(digest)
    expect(status).toBe(0)
  })
})

describe("a program in the place of QEMU", () => {
  const fakes: readonly (readonly [string, string, Parameters<Sandbox["fails"]>[1], string])[] = [
    ["that is none", "garbage", "OVM_VMM_MISSING", "does not say its version"],
    ["that fails", "#!/bin/sh\nexit 1\n", "OVM_VMM_MISSING", "does not say its version"],
    ["that is too old", "#!/bin/sh\necho QEMU emulator version 2.12.0\n", "OVM_VMM_MISSING", "2.12.0"],
    [
      "that dies at start",
      '#!/bin/sh\ncase "$*" in --version) echo QEMU emulator version 7.2.0 ;; *) echo no luck >&2; exit 3 ;; esac\n',
      "OVM_VMM_FAILED",
      "no luck",
    ],
  ]

  test.skipIf(Boolean(guestMissing)).each(fakes)("%s", async (_, script, code, culprit) => {
    await using host = await Sandbox.create()
    await copyFile(await buildGuest(), host.path("kernel"))
    await host.ok(["pack", "--kernel", "kernel", "-t", "guest"])
    const fake = await host.file("qemu", script)
    await chmod(fake, 0o755)
    const env = { OVM_QEMU: fake }
    await host.fails(["run", "--rm", "guest"], code, [culprit], { env })
    expect(await host.instances("--all")).toEqual([])
    expect(await readdir(join(host.home, "instances"))).toEqual([])
  })
})

describe("a daemon that does not answer", () => {
  test("is named, and no second one is started", async () => {
    await using host = await Sandbox.create()
    const pid = Number(await host.ok(["daemon", "--detach"]))
    process.kill(pid, "SIGSTOP")
    try {
      await host.fails(["ps"], "OVM_DAEMON_UNREACHABLE", [host.home, "did not answer"])
    } finally {
      process.kill(pid, "SIGCONT")
    }
    expect(await host.instances()).toEqual([])
    expect((await host.json(["info"])).daemon.pid).toBe(pid)
  })

  test("nor does one start where a folder has its socket's place", async () => {
    await using host = await Sandbox.create()
    await mkdir(join(host.home, "ovm.sock"), { recursive: true })
    await host.fails(["daemon"], "OVM_FILE_UNREADABLE", ["ovm.sock"])
  })

  test("a console whose daemon was killed says so, and the machine goes on", async () => {
    if (guestMissing) return
    await using host = await Sandbox.create()
    await copyFile(await buildGuest(), host.path("kernel"))
    await host.ok(["pack", "--kernel", "kernel", "--args", "button=1 tick_ms=50 hlt=1", "-t", "guest"])
    const { instance_id: id } = await host.json(["run", "-d", "guest"])
    const following = host.begin(["logs", "--follow", id])
    following.stdout?.once("data", async () =>
      process.kill((await host.json(["info"])).daemon.pid, "SIGKILL"),
    )
    expectFailure(await finished(following), "OVM_DAEMON_UNREACHABLE", ["goes on running", id])
    expect(await host.json(["status", id])).toMatchObject({ state: "running" })
  })
})

test("an output that cannot be written is named", async () => {
  await using host = await Sandbox.create()
  const { stderr } = await host.shell(`ovm images >/dev/full; echo "status $?" >&2`)
  expect(stderr).toContain("OVM_NO_SPACE: standard output: no space left on device")
  expect(stderr).toEndWith("status 9\n")
})
