import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { cpSync, existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { FAULTS, type Fault, inject, injectMissing } from "@ovms/testkit/inject/inject.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { Random } from "@ovms/testkit/random.ts"
import { until } from "@ovms/testkit/until.ts"
import { PROGRAM, type Result, Sandbox } from "./sandbox.ts"
import { faultsOf } from "./store-whole.ts"

setDefaultTimeout(300_000)

// As disk-faults.test.ts does with commands, but of the daemon: a machine's whole life, with a fault at some system
// call of the daemon's about its own files. The next daemon knows what there is, ends it, and the same life succeeds.
// OVM_FAULT_SEED and OVM_FAULT_POINTS are what they are there.

const SEED = Number(process.env.OVM_FAULT_SEED ?? 1)
const POINTS = Number(process.env.OVM_FAULT_POINTS ?? 16)
/** A life has at least so many calls that can meet the fault. */
const CALLS = { EIO: 130, ENOSPC: 50, EMFILE: 40, ENOMEM: 80, short: 10, crash: 130 }

const skip =
  guestMissing ||
  injectMissing ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/daemon-faults.test.ts: ${skip}`)

const random = new Random(SEED)
const points = Array.from({ length: POINTS }, (_, at): Fault => {
  const kind = FAULTS[at % FAULTS.length] ?? "EIO"
  const from = 1 + random.below(CALLS[kind])
  return { kind, from, to: random.below(10) < 7 ? from : from + 20 }
})

const LIFE = [
  ["run", "-d", "--name", "one", "guest:1"],
  ["snapshot", "one", "--tag", "s"],
  ["stop", "--time", "0", "one"],
  ["rm", "--force", "one"],
] as const

describe.skipIf(Boolean(skip))(`faults under the daemon (OVM_FAULT_SEED=${SEED}) ${skip}`, () => {
  let origin: Sandbox
  beforeAll(async () => {
    origin = await Sandbox.create()
    const disk = await origin.file("disk.raw", Buffer.alloc(1 << 20))
    await packGuest(join(origin.home, "store"), "guest:1", "tick_ms=20", {
      diskLayers: [{ path: disk, format: "raw" }],
    })
    // What QEMU can do is asked once.
    await origin.ok(["info"])
    await origin.ok(["run", "-d", "--name", "one", "guest:1"])
    await origin.ok(["rm", "--force", "one"])
    await origin.ok(["daemon", "--stop"])
  })
  afterAll(() => origin?.[Symbol.asyncDispose]())

  test.each(points)("%j", async (fault) => {
    await using host = await Sandbox.create()
    cpSync(origin.home, host.home, { recursive: true })
    const at = { cwd: host.directory, env: host.environment() }
    const daemon = inject(host.home, fault, [...PROGRAM, "daemon"], at)
    const running = async () => (await host.ovm(["info"])).stdout.includes("pid") && "answers"
    await Promise.race([daemon, until("the daemon answers", running)])
    for (const command of LIFE) clean(command, await host.ovm(command))
    await host.ovm(["daemon", "--stop"])
    const { hit, status, stderr } = await daemon
    const said = `${JSON.stringify(fault)}: ${hit}, status ${status}\n${stderr}`

    expect(faultsOf(join(host.home, "store")), said).toEqual([])
    for (const { instance_id } of await host.instances("--all")) await host.ok(["rm", "--force", instance_id])
    await until(`no machine is left of ${said}`, () => vmmsBelow(host.home), {
      is: ({ length }) => length === 0,
    })
    expect(readdirSync(join(host.home, "instances")), said).toEqual([])
    for (const command of LIFE) {
      const { status, stderr } = await host.ovm(command)
      expect(status, `${said}\nthen ${command.join(" ")}: ${stderr}`).toBe(0)
    }
    await host.ok(["rmi", "--force", "guest:s", "guest:1"])
    expect(await host.blobs(), said).toEqual([])
    for (const folder of ["instances", "store/ovm/leases", "store/ovm/ingest"])
      expect(existsSync(join(host.home, folder)) ? readdirSync(join(host.home, folder)) : [], said).toEqual(
        [],
      )
  })
})

/** It succeeds, or says by a code of the list what is wrong; not that it does not know. */
function clean(command: readonly string[], { status, stderr }: Result): void {
  if (status !== 0)
    expect(`${command.join(" ")}: ${status}\n${stderr}`).toMatch(/^error: OVM_(?!INTERNAL)[A-Z_]+: ./m)
}
