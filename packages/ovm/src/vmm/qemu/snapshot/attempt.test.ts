import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { once } from "node:events"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { ChainReader, withLayers } from "../../../disk/chain-reader.ts"
import { createOverlay } from "../../../disk/overlay.ts"
import { OvmError } from "../../../errors.ts"
import { Bench } from "../../bench.testing.ts"
import type { Machine } from "../../machine.ts"
import { type Attempt, noteAttempt, overlaysOf, readAttempt } from "../../process/attempt.ts"
import { endStray } from "../../process/stray.ts"
import { COUNTING, DISK, SnapshotBench } from "../../snapshot-bench.testing.ts"
import { findQemu } from "../find.ts"
import { IGNORE_SHARED } from "../migration/format.ts"
import { migrationPutAway, waitForMigration } from "../migration/progress.ts"
import { listenForStream, type Receiver, SNAPSHOT_SOCKET } from "../migration/receiver.ts"
import { RAM_ID } from "../model.ts"
import { connectQmp, type Qmp } from "../qmp.ts"
import { letRun, takeBack, untriedNote } from "./attempt.ts"
import { attachOverlay, driveOf, furtherDrivesOf, overlayNodes, switchTo } from "./drive.ts"
import { revert } from "./revert.ts"

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

// The steps of take.ts by hand, so that the process that takes the snapshot can be gone after any of them.
const stages = ["noted", "attached", "copied", "switched", "completed", "running"] as const

test("a note means files of its own folder, whatever it says, and one that cannot be understood means nothing", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ovm-note-"))
  const nodes = overlayNodes("layer0")
  const note = (text: unknown) => writeFileSync(join(directory, "snapshot.json"), JSON.stringify(text))
  const files = ["/etc/passwd", "../../x", "snapshot.ram"]
  const further = [{ path: "../overlay-more.qcow2", nodes }]
  note({ directory: "/", files, overlay: { path: "/root/overlay-1.qcow2", nodes }, further, running: true })
  const inside = (name: string) => join(directory, name)
  expect(await readAttempt(directory)).toEqual({
    directory,
    files: [inside("passwd"), inside("x"), inside("snapshot.ram")],
    overlay: { path: inside("overlay-1.qcow2"), nodes },
    further: [{ path: inside("overlay-more.qcow2"), nodes }],
    running: true,
  })
  for (const odd of [
    null,
    [],
    {},
    { files: [1], running: true },
    { files: {}, running: true },
    { files: [] },
    { files: [], further: {}, running: true },
    { files: [], further: [null], running: true },
    { files: [], further: [{ path: "a" }], running: true },
  ]) {
    note(odd)
    expect([odd, await readAttempt(directory)]).toEqual([odd, undefined])
  }
  note({ files: [], running: true, overlay: { path: 1 } })
  expect(await readAttempt(directory)).toBeUndefined()
  rmSync(directory, { recursive: true })
})

test("a failure with another QEMU than has been tried says so", () => {
  for (const version of ["7.2.22", "10.0.13"]) expect(untriedNote(version)).toBe("")
  for (const version of ["7.20.1", "8.2.0", "10.1.0"])
    expect(untriedNote(version)).toContain(`QEMU ${version}`)
})

describe.skipIf(missing !== "")(`a snapshot that nobody ended ${missing}`, () => {
  const under = { module: join(import.meta.dir, "../index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-attempt-")), under)
  const shots = new SnapshotBench(bench)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  async function monitorOf(machine: Machine): Promise<Qmp> {
    const qmp = await connectQmp(machine.record.directory, { timeoutMs: 5000 })
    if (!qmp) throw new Error("no monitor")
    return qmp
  }

  /** One that notes each tick on two disks. */
  async function countingOnTwo(): Promise<Machine> {
    const directory = bench.path("two")
    const disks = [{ name: "more", layers: [], size: DISK, overlay: join(directory, "disk-more.qcow2") }]
    const { plan } = await shots.countingPlan({ directory, disks }, `${COUNTING} also=1`)
    const machine = await bench.vmm.launch(plan)
    await bench.until(machine, "TICK 3")
    return machine
  }

  async function goTo(
    stage: (typeof stages)[number],
    qmp: Qmp,
    attempt: Attempt,
  ): Promise<Receiver | undefined> {
    const reached = (one: typeof stage) => stages.indexOf(stage) < stages.indexOf(one)
    const { directory, files } = attempt
    const overlays = overlaysOf(attempt)
    await noteAttempt(attempt)
    if (reached("attached")) return undefined
    for (const { path, nodes } of overlays) {
      await createOverlay(path, DISK)
      await attachOverlay(qmp, nodes, path, false)
    }
    if (reached("copied")) return undefined
    const receiver = await listenForStream(directory, { name: RAM_ID, size: 16 << 20 }, files[0] ?? "")
    const capabilities = [IGNORE_SHARED, "pause-before-switchover"].map((capability) => ({
      capability,
      state: true,
    }))
    await qmp.execute("migrate-set-capabilities", { capabilities })
    await qmp.execute("migrate", { uri: `unix:${SNAPSHOT_SOCKET}` })
    const timeoutMs = 30_000
    await waitForMigration(qmp, ["pre-switchover"], { timeoutMs })
    if (reached("switched")) return receiver
    await switchTo(qmp, ...overlays.map(({ nodes }) => nodes))
    if (reached("completed")) return receiver
    await qmp.execute("migrate-continue", { state: "pre-switchover" })
    await waitForMigration(qmp, ["completed"], { timeoutMs })
    if (stage === "running") await letRun(qmp)
    return receiver
  }

  for (const running of [true, false])
    for (const stage of running ? stages : stages.filter((one) => one !== "running"))
      test(`${stage}, of a ${running ? "running" : "paused"} machine, is taken back when it is adopted`, async () => {
        const machine = await countingOnTwo()
        const before = [await machine.overlay?.(), await machine.furtherOverlays?.()]
        if (!running) await machine.pause()
        machine.detach()
        const qmp = await monitorOf(machine)
        const { directory } = machine.record
        const inside = (name: string) => join(directory, name)
        const sink = { ram: inside("ram"), state: inside("state"), overlay: inside("new.qcow2") }
        const overlay = { path: sink.overlay, nodes: overlayNodes((await driveOf(qmp))?.node ?? "") }
        const below = (await furtherDrivesOf(qmp)).get("more")?.node ?? ""
        const further = [{ path: inside("new-more.qcow2"), nodes: overlayNodes(below) }]
        const receiver = await goTo(stage, qmp, {
          directory,
          files: [sink.ram, sink.state],
          overlay,
          further,
          running,
        })
        // A dead process's connections are closed, and its sockets listen no more.
        await receiver?.close()
        qmp.close()

        const adopted = await bench.vmm.adopt(machine.record)
        expect(await readAttempt(directory)).toBeUndefined()
        for (const path of [...Object.values(sink), inside("new-more.qcow2")])
          expect([path, existsSync(path)]).toEqual([path, false])
        expect([await adopted.overlay?.(), await adopted.furtherOverlays?.()]).toEqual(before)
        if (!running) await adopted.resume()
        await shots.ticks(adopted, 5)
        await shots.take(adopted, { ...sink, disks: new Map([["more", inside("new-more.qcow2")]]) })
        await shots.ticks(adopted, 5)
        await shots.end(adopted)
      }, 180_000)

  // What is the last command that QEMU answers, and whether that is heard.
  test.each([
    ["query-block-jobs", "pending"],
    ["job-finalize", "unheard"],
    ["job-finalize", "heard"],
  ])(
    "QEMU ends while an overlay is taken back: what its guest wrote is where it is looked for (%s, %s)",
    async (last, when) => {
      const { plan, layers } = await shots.countingPlan({}, `${COUNTING} flush=1`)
      const machine = await bench.vmm.launch(plan)
      const { directory, overlay: below = "" } = machine.record
      await bench.until(machine, "FLUSHED 3")
      machine.detach()
      const qmp = await monitorOf(machine)
      const path = join(directory, "new.qcow2")
      const overlay = { path, nodes: overlayNodes((await driveOf(qmp))?.node ?? "") }
      await createOverlay(path, DISK)
      await attachOverlay(qmp, overlay.nodes, path, false)
      await switchTo(qmp, overlay.nodes)
      const flushed = async () =>
        Number([...(await shots.now(machine)).matchAll(/FLUSHED (\d+)\r\n/g)].at(-1)?.[1])
      const more = async () => {
        const before = await flushed()
        return await until("it goes on", flushed, { is: (now) => now >= before + 3 })
      }
      let tick = await more()
      const cut: Qmp = Object.create(qmp, {
        execute: {
          value: async (command: string, given?: Readonly<Record<string, unknown>>) => {
            if (command === last && when === "unheard") void qmp.execute(command, given).catch(() => {})
            const answer =
              when === "unheard" && command === last ? undefined : await qmp.execute(command, given)
            if (command !== last || (when === "pending" && !JSON.stringify(answer).includes(when)))
              return answer
            tick = when === "pending" ? await flushed() : await more()
            await endStray(directory)
            throw new OvmError("OVM_VMM_FAILED", "it has ended")
          },
        },
      })
      expect((await refusal(revert(cut, overlay))).message).toBe("it has ended")
      qmp.close()
      expect(existsSync(path)).toBe(when === "pending")
      const chain = [
        ...layers,
        ...[below, ...(existsSync(path) ? [path] : [])].map((path) => ({ path, format: "qcow2" as const })),
      ]
      await withLayers(chain, async (all) => {
        const bytes = await new ChainReader(all).read((8 + tick) * 512, 8)
        expect(new DataView(bytes?.buffer ?? new ArrayBuffer(8)).getBigUint64(0, true)).toBe(BigInt(tick))
      })
    },
    60_000,
  )

  test("is taken back whenever its migration is cancelled, also just before QEMU pauses it", async () => {
    const { machine } = await shots.counting()
    const { directory } = machine.record
    const path = join(directory, "drain.sock")
    const sockets = new Set<Socket>()
    const server = createServer((socket) => void sockets.add(socket.resume())).listen(path)
    await once(server, "listening")
    machine.detach()
    const qmp = await monitorOf(machine)
    const capabilities = [IGNORE_SHARED, "pause-before-switchover"]
    await qmp.execute("migrate-set-capabilities", {
      capabilities: capabilities.map((capability) => ({ capability, state: true })),
    })
    // QEMU lost 3 to 4 of a hundred.
    for (let round = 0; round < 200; round++) {
      await migrationPutAway(qmp)
      await qmp.execute("migrate", { uri: "unix:drain.sock" })
      for (const end = performance.now() + Math.random() * 5; performance.now() < end; ) {}
      await takeBack(qmp, { directory, files: [], running: true })
    }
    qmp.close()
    server.close()
    for (const socket of sockets) socket.destroy()
    const adopted = await bench.vmm.adopt(machine.record)
    await shots.ticks(adopted, 5)
    await shots.end(adopted)
  }, 180_000)
})
