import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { startFaults } from "@ovms/testkit/faults.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { expectFailure, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// A running machine becomes an image, travels, and goes on elsewhere: from a terminal, with a real registry and a real
// QEMU.

const noMachine =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
const skip = noMachine || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/snapshots.test.ts: ${skip}`)

// OVMS-SNP-005, OVMS-SNP-076, OVMS-SNP-096
test.skipIf(Boolean(skip))("a snapshot goes through a registry and on in an empty store", async () => {
  await using upstream = await startRegistry()
  await using registry = startFaults(() => undefined, upstream.host)
  await using here = await Sandbox.create()
  await using there = await Sandbox.create()
  const base = `${registry.host}/tests/guest:1`
  const warm = `${registry.host}/tests/guest:warm`
  const disk = await here.file("disk.raw", Buffer.alloc(1 << 20))
  const layers = { diskLayers: [{ path: disk, format: "raw" as const }] }
  await packGuest(join(here.home, "store"), base, "tick_ms=20 write=3 button=1", layers)

  // Here: a machine that has come up is kept as it is, and goes on.
  const { instance_id } = await here.json(["run", "-d", "--name", "source", base])
  await here.console("source", "TICK 3")
  const { snapshot_ref, timings_ms } = await here.json(["snapshot", "source", "--tag", "warm"])
  expect(snapshot_ref).toMatch(/^sha256:/)
  expect(timings_ms.paused).toBeNumber()
  expect(await here.json(["status", "source"])).toMatchObject({ instance_id, state: "running" })

  // It is an image like any other: it is seen, judged and pushed, its base with it.
  const { base: on } = await here.json(["inspect", warm])
  expect(on).toBe((await here.json(["inspect", base])).digest)
  expect(await here.ok(["inspect", warm])).toContain("pc-q35-")
  expect(await here.json(["validate", warm])).toMatchObject({ valid: true, kind: "snapshot" })
  const sent = () => registry.seen.filter(({ method }) => method !== "GET" && method !== "HEAD")
  expect(sent()).toEqual([])
  expect(await here.json(["push", warm])).toEqual({ reference: warm, digest: snapshot_ref })
  const manifests = sent().filter(({ path }) => path.includes("/manifests/"))
  expect(manifests[0]?.path).toEndWith(`/${on}`)
  expect(manifests.length).toBeGreaterThan(1)

  // There: it goes on without booting, with its own generation ID, twice.
  const clones = [await there.json(["run", "-d", warm]), await there.json(["run", "-d", warm])]
  const infos = await Promise.all(clones.map((clone) => there.json(["status", clone.instance_id])))
  for (const info of infos) expect(info).toMatchObject({ state: "running", snapshot: snapshot_ref })
  expect(infos[0].generation_id).not.toBe(infos[1].generation_id)
  const console = await there.console(clones[0].instance_id, /TICK \d+\r?\n/)
  expect(console).not.toContain("GUEST-READY")
  expect(Number(/TICK (\d+)/.exec(console)?.[1])).toBeGreaterThan(3)

  // What does not fit is refused before anything starts, with both values.
  const unfit = await there.ovm(["run", "-d", "--memory", "64MiB", warm])
  expectFailure(unfit, "OVM_SNAPSHOT_INCOMPATIBLE", ["/resources/memory"])

  // Unless a boot of its base will do, which then says why.
  const booted = await there.json(["run", "-d", "--memory", "64MiB", "--cold-boot-on-mismatch", warm])
  const cold = await there.json(["status", booted.instance_id])
  expect(cold).toMatchObject({ state: "running", resources: { memory: 64 << 20 } })
  expect(cold.snapshot).toBeUndefined()
  expect(cold.warnings.join()).toContain("/resources/memory")
  await there.console(booted.instance_id, "GUEST-READY")

  // A path brings the base along too (OVMS-SNP-153).
  const layout = join(there.home, "layout")
  await here.ok(["copy", `store:${warm}`, layout])
  await there.ok(["rm", "--force", ...clones.map((clone) => clone.instance_id), booted.instance_id])
  await there.ok(["rmi", warm])
  const moved = await there.json(["run", "-d", `${layout}:warm`])
  expect((await there.json(["status", moved.instance_id])).snapshot).toBe(snapshot_ref)

  // A base outlives the wish to remove it, as long as somebody could go on from its snapshots.
  await here.ok(["stop", "--time", "0", "source"])
  await here.ok(["rm", "source"])
  expectFailure(await here.ovm(["rmi", base]), "OVM_IMAGE_IN_USE", [base])
  await here.ok(["rmi", warm, base])
  expect(await here.blobs()).toEqual([])
})

test.skipIf(Boolean(noMachine))(
  "warm slots are asked for once, and outlive a daemon that was killed",
  async () => {
    await using host = await Sandbox.create()
    await packGuest(join(host.home, "store"), "guest:1", "tick_ms=20")
    await writeFile(join(host.home, "daemon.json"), '{"limits":{"warmMemory":67108864}}')
    await host.ok(["run", "-d", "--name", "source", "guest:1"])
    const { snapshot_ref } = await host.json(["snapshot", "source", "--tag", "warm", "--stop"])
    expectFailure(await host.ovm(["warm", "guest:1"]), "OVM_UNSUPPORTED", ["guest:1"])
    expectFailure(await host.ovm(["warm", "guest:warm", "--slots", "33"]), "OVM_TOO_MANY", ["guest:warm"])
    expect(await host.ok(["warm", "guest:warm"])).toBe("1 of 1 ready")
    const { instance_id } = await host.json(["run", "-d", "guest:warm"])
    const info = await host.json(["status", instance_id])
    expect(info).toMatchObject({ state: "running", snapshot: snapshot_ref })
    expect(info.timings_ms.spawn).toBeUndefined()
    const full = () =>
      until("all slots are ready", () => host.json(["info"]), {
        is: ({ warm }) => warm?.every(({ ready }: { ready: number }) => ready === 1),
      })
    await full()
    expect(await host.ok(["info"])).toContain("guest:warm, 1 of 1 ready")

    // Nobody ends the slot of a daemon that was killed, until the next one does, and makes another.
    const slots = async () => (await readdir(join(host.home, "instances"))).filter((id) => id !== instance_id)
    const [orphan = ""] = (await slots()).filter(
      (id) => !existsSync(join(host.home, "instances", id, "instance.json")),
    )
    const { daemon } = await host.json(["info"])
    process.kill(daemon.pid, "SIGKILL")
    expect(processesIn(join(host.home, "instances", orphan))).not.toEqual([])
    expect(await host.json(["status", instance_id])).toMatchObject({ state: "running" })
    expect(await slots()).not.toContain(orphan)
    await full()
    expect(await host.json(["warm", "guest:warm", "--slots", "0"])).toMatchObject({ slots: 0, ready: 0 })
  },
)

// OVMS-SNP-098
test.skipIf(Boolean(noMachine))("a snapshot that cannot be is refused by name", async () => {
  await using host = await Sandbox.create()
  await packGuest(join(host.home, "store"), "guest:1", "tick_ms=20")
  expectFailure(await host.ovm(["snapshot", "nobody", "--tag", "x"]), "OVM_INSTANCE_UNKNOWN", ["nobody"])
  await host.ok(["run", "-d", "--name", "one", "guest:1"])
  expectFailure(await host.ovm(["snapshot", "one"]), "OVM_USAGE", ["--tag"])
  expectFailure(await host.ovm(["snapshot", "one", "--tag", "a/b"]), "OVM_REQUEST_INVALID", ["tag"])
  expectFailure(await host.ovm(["snapshot", "one", "--tag", "1"]), "OVM_STATE_CONFLICT", ["guest:1"])
  expect(await host.json(["images"])).toHaveLength(1)

  // Secrets are told by kind and place, never as they are.
  const token = `ghp_${"Zq4".repeat(12)}`
  await packGuest(join(host.home, "store"), "secret:1", `tick_ms=20 token=${token}`)
  await host.ok(["run", "-d", "--name", "two", "secret:1"])
  await host.console("two", "TICK")
  const refused = await host.ovm(["snapshot", "--tag", "x", "--scrub-check", "two"])
  expectFailure(refused, "OVM_SECRETS_FOUND", ["github-token"])
  const told = await host.ovm(["snapshot", "--tag", "x", "--scrub-report", "two"])
  expect(told.status).toBe(0)
  expect(told.stderr).toMatch(/^found: \d+ github-token, at 0x[0-9a-f]+/m)
  const log = await readFile(join(host.home, "daemon.log"), "utf8")
  expect(log).toContain("snapshot")
  expect(refused.stderr + told.stderr + told.stdout + log).not.toContain(token)
  const shown = await host.ok(["inspect", "secret:x"])
  expect(shown).toContain("github-token")

  // Resumed once, and by the machine's own name.
  await host.ok(["snapshot", "two", "--tag", "once", "--once"])
  const again = await host.json(["run", "-d", "--resume", "secret:1"])
  expect((await host.json(["status", again.instance_id])).snapshot).toBeString()
  expectFailure(await host.ovm(["run", "-d", "secret:once"]), "OVM_RESUME_DENIED", ["once"])
})
