import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { pidsIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import type { LaunchPlan } from "../../plan.ts"
import { endStray } from "../../process/stray.ts"
import type { Frozen } from "../../snapshot.ts"
import { fakeFirecracker, foundFake } from "../fake.testing.ts"
import { launchFirecracker } from "../launch.ts"
import { FirecrackerMachine } from "../machine.ts"
import { storageFault } from "../storage.ts"

// A stand-in for Firecracker, and a real storage daemon: what becomes of a snapshot whose disk has been turned.
setDefaultTimeout(120_000)

const root = mkdtempSync(join(tmpdir(), "ovm-fake-snapshots-"))
const folders: string[] = []
afterAll(async () => {
  await Promise.all(folders.map(endStray))
  rmSync(root, { recursive: true })
})
const fault = storageFault()
const note = (fault && `(skipped: ${fault})`) || (qemuImg.present ? "" : qemuImg.note)
const RESUMED = "PATCH /vm Resumed"

async function launch(name: string, faults: Readonly<Record<string, string>>) {
  const directory = join(root, name)
  mkdirSync(directory, { mode: 0o700 })
  folders.push(directory)
  const base = join(directory, "base.raw")
  writeFileSync(base, Buffer.alloc(1 << 20))
  const plan: LaunchPlan = {
    id: name,
    directory,
    resources: { vcpus: 1, memory: 64 << 20 },
    kernel: { path: await buildGuest(), args: "" },
    disk: { layers: [{ path: base, format: "raw" }], size: 1 << 20, writable: true },
    devices: [],
    consoleLimit: 4096,
  }
  const binary = fakeFirecracker(join(root, `${name}-firecracker`), faults)
  const machine = await launchFirecracker(foundFake(binary), { plan, cacheFolder: join(root, "cache") })
  if (!(machine instanceof FirecrackerMachine)) throw new Error("it is another machine")
  const sink = Object.fromEntries(["ram", "state", "overlay"].map((file) => [file, join(directory, file)]))
  return { machine, sink: sink as Record<"ram" | "state" | "overlay", string> }
}

function guestRanOn(overlay: string): boolean {
  const raw = `${overlay}.raw`
  qemuImg.run("convert", "-q", "-U", "-f", "qcow2", "-O", "raw", overlay, raw)
  return readFileSync(raw).toString("latin1", 512, 525) === "its guest ran"
}

test.skipIf(note !== "")(
  `a Firecracker that ends just as its guest goes on leaves a whole snapshot, and what the guest wrote ${note}`,
  async () => {
    const { machine, sink } = await launch("ends", { [RESUMED]: "end 3" })
    const { disk } = await machine.snapshot(sink)
    expect(disk).toEqual({ frozen: machine.record.overlay ?? "", overlay: sink.overlay })
    for (const path of Object.values(sink)) expect([path, existsSync(path)]).toEqual([path, true])
    expect(await machine.exited).toMatchObject({ status: 3 })
    await until("the disk is let go of", () => guestRanOn(sink.overlay))
  },
)

test.skipIf(note !== "")(
  `a Firecracker, and what shows its disk, that hang while the disk is turned lose nothing of what the guest writes later [OVMS-SNP-142, OVMS-SNP-143] ${note}`,
  async () => {
    await Promise.all([hangsAtItsResume(), hangsAtItsDisk()])
  },
)

/** The disk is known to be turned: the snapshot is whole, and the guest goes on as soon as it can. */
async function hangsAtItsResume() {
  const release = join(root, "release")
  const { machine, sink } = await launch("hangs", { [RESUMED]: `hang until ${release}` })
  const { disk } = await machine.snapshot(sink)
  expect(disk?.overlay).toBe(sink.overlay)
  expect(machine.guest).toEqual({ running: false, reason: "snapshot" })
  writeFileSync(release, "")
  await until("the guest goes on", () => machine.guest.running)
  await until("it can be asked again", () => machine.overlay().catch(() => undefined), { is: Boolean })
  expect(await machine.overlay()).toBe(sink.overlay)
  for (const path of Object.values(sink)) expect([path, existsSync(path)]).toEqual([path, true])
  await machine.stop({ graceMs: 0 })
  expect(guestRanOn(sink.overlay)).toBe(true)
}

/** Nobody can say whether it is turned: the snapshot fails, and whoever took it is told before the guest goes on. */
async function hangsAtItsDisk() {
  const { machine, sink } = await launch("storage", {})
  const [storage = 0] = pidsIn(machine.record.directory, "qemu-storage-da")
  machine.onGuest(() => {
    if (!machine.guest.running) process.kill(storage, "SIGSTOP")
  })
  const told: Frozen[] = []
  const onTurned = async (disk: Frozen) => {
    expect(machine.guest).toEqual({ running: false, reason: "snapshot" })
    told.push(disk)
  }
  expect((await refusal(machine.snapshot(sink, { onTurned }))).code).toBe("OVM_VMM_TIMEOUT")
  machine.onGuest(() => {})
  process.kill(storage, "SIGCONT")
  await until("the guest goes on", () => machine.guest.running)
  await until("it can be asked again", () => machine.overlay().catch(() => undefined), { is: Boolean })
  // Its command had been sent: as a rule the daemon obeys it later.
  expect(await machine.overlay()).toBe(told[0]?.overlay ?? (machine.record.overlay as string))
  for (const { frozen } of told) expect(frozen).toBe(machine.record.overlay as string)
  await machine.stop({ graceMs: 0 })
}
