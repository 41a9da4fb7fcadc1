import { expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { writeFile } from "node:fs/promises"
import { createConnection } from "node:net"
import { release } from "node:os"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { networkFault } from "../src/vmm/firecracker/network.ts"
import { storageFault } from "../src/vmm/firecracker/storage.ts"
import { Sandbox } from "./sandbox.ts"

// What somebody does with machines on Firecracker, from a terminal.
setDefaultTimeout(240_000)

const fault = Bun.which("firecracker") ? storageFault() : "firecracker is not on PATH"
const skip = guestMissing || (fault ? `(skipped: ${fault})` : "")
if (skip) console.log(`SKIP packages/ovm/test/firecracker.test.ts: ${skip}`)

const ON = ["--vmm", "firecracker", "--network", "none"]

// OVMS-SNP-018, OVMS-SNP-070, OVMS-SNP-074, OVMS-SNP-090
test.skipIf(Boolean(skip))(
  `a machine on Firecracker becomes a snapshot, and goes on in clones and warm slots ${skip}`,
  async () => {
    await using box = await Sandbox.create()
    const disk = await box.file("disk.raw", Buffer.alloc(1 << 20))
    const layers = { diskLayers: [{ path: disk, format: "raw" as const }] }
    await packGuest(join(box.home, "store"), "guest:1", "tick_ms=20 write=3 hlt=1", layers)
    await writeFile(join(box.home, "daemon.json"), '{"limits":{"warmMemory":67108864}}')
    await box.json(["run", "-d", "--name", "source", ...ON, "guest:1"])
    await box.console("source", "TICK 3")
    const { snapshot_ref, timings_ms } = await box.json(["snapshot", "source", "--tag", "warm"])
    expect(timings_ms.paused).toBeGreaterThan(0)
    expect((await box.json(["status", "source"])).state).toBe("running")

    // It says what it needs to go on, and nothing of this host's paths.
    const { snapshot } = await box.json(["inspect", "guest:warm"])
    expect(snapshot).toMatchObject({
      vmm: {
        name: "firecracker",
        format: expect.stringMatching(/^firecracker-\d+$/),
        machine: "firecracker",
      },
      host: { kernel: release() },
      uniqueness: { vmgenid: true },
    })

    // Twice, each with an ID of its own, and a disk of its own.
    const clones = [1, 2].map(() => box.json(["run", "-d", "--network", "none", "guest:warm"]))
    const ids = (await Promise.all(clones)).map(({ instance_id }) => instance_id as string)
    const infos = await Promise.all(ids.map((id) => box.json(["status", id])))
    for (const info of infos)
      expect(info).toMatchObject({ state: "running", snapshot: snapshot_ref, vmm: { name: "firecracker" } })
    expect(infos[0].generation_id).toBeString()
    expect(infos[0].generation_id).not.toBe(infos[1].generation_id)
    const said = await box.console(ids[0] ?? "", /TICK \d+\r?\n/)
    expect(said).not.toContain("GUEST-READY")
    expect(Number(/TICK (\d+)/.exec(said)?.[1])).toBeGreaterThan(3)

    // One that waits, loaded, is started without another process.
    expect(await box.ok(["warm", "guest:warm"])).toBe("1 of 1 ready")
    const { instance_id } = await box.json(["run", "-d", "guest:warm"])
    const started = await box.json(["status", instance_id])
    expect(started).toMatchObject({ state: "running", snapshot: snapshot_ref })
    expect(started.timings_ms.spawn).toBeUndefined()
    await box.ok(["warm", "guest:warm", "--slots", "0"])

    // And none of it is for another VMM, in either direction.
    const none = ["--network", "none"]
    await box.fails(["run", "-d", "--vmm", "qemu", ...none, "guest:warm"], "OVM_SNAPSHOT_INCOMPATIBLE", [
      "/vmm/name",
    ])
    await box.json(["run", "-d", "--name", "other", "--vmm", "qemu", ...none, "guest:1"])
    await box.console("other", "TICK 3")
    await box.json(["snapshot", "other", "--tag", "qemu", "--stop"])
    await box.fails(["run", "-d", ...ON, "guest:qemu"], "OVM_SNAPSHOT_INCOMPATIBLE", ["/vmm/name"])
  },
)

const lacking = skip || (networkFault() ? `(skipped: ${networkFault()})` : "")
const GUEST_PORT = "7007"

/** What the guest gives back of `words`, by a connection of its own that both sides end in order. */
async function givenBack(port: number, words: string): Promise<string> {
  const socket = createConnection({ host: "127.0.0.1", port, allowHalfOpen: true })
  socket.end(words)
  let heard = ""
  socket.setEncoding("latin1").on("data", (text) => {
    heard += text
  })
  await once(socket, "end")
  return heard
}

/** Two connections, one after the other; the first is of more than one segment. */
async function expectReached(port: number): Promise<void> {
  const long = "0123456789abcdef".repeat(256)
  expect(await givenBack(port, long)).toBe(long)
  expect(await givenBack(port, "again")).toBe("again")
}

test.skipIf(Boolean(lacking))(
  `TCP reaches a guest on Firecracker by its published port, in a jail and without, after a daemon's restart, and a clone [OVMS-API-254, OVMS-API-259, OVMS-SNP-160] ${lacking}`,
  async () => {
    await using box = await Sandbox.create()
    await packGuest(join(box.home, "store"), "tcp:1", "tick_ms=10 hlt=1 answer=1")
    const portOf = async (id: string) => (await box.json(["status", id])).network.ports[0].host as number
    const run = async (...args: readonly string[]) => {
      const { instance_id } = await box.json(["run", "-d", "-p", GUEST_PORT, ...args])
      return instance_id as string
    }
    const begun = async () => {
      const id = await run("--vmm", "firecracker", "tcp:1")
      await box.console(id, "ANSWER ready\r\n")
      await expectReached(await portOf(id))
      return id
    }
    // In a jail, where there is a jailer.
    const first = await begun()
    process.kill((await box.json(["info"])).daemon.pid, "SIGKILL")
    await expectReached(await portOf(first))
    expect((await box.json(["status", first])).state).toBe("running")
    await expectReached(await portOf(first))
    await box.json(["snapshot", first, "--tag", "up", "--stop"])
    const clone = await run("tcp:up")
    expect((await box.json(["status", clone])).snapshot).toBeString()
    await expectReached(await portOf(clone))

    // And without one.
    await box.ok(["daemon", "--stop"])
    await writeFile(join(box.home, "daemon.json"), '{"jail":false}')
    const bare = await begun()
    await expectReached(await portOf(clone))
    const { vmms } = await box.json(["info"])
    expect(vmms.find(({ name }: { name: string }) => name === "firecracker").jailed).toBe(false)
    await box.ok(["rm", "--force", bare, clone])
  },
)
