import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync, statSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import type { Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

setDefaultTimeout(240_000)

// A guest is told what is for its first boot, and nobody else is. What is on the disk: guest/nocloud.test.ts.

/** Reads where meta-data begins, on the only disk that it has. */
const ARGS = "tick_ms=20 button=1 read=100"
const SECRET = "it-is-nobody-elses-business"
const CONFIG = { hostname: "web", userData: `#cloud-config\npassword: ${SECRET}\n` }

let root: string
let runtime: LocalRuntime
const told: string[] = []
const folder = (id: string) => join(root, "instances", id)

async function started(manifest: string, config?: Overrides["config"]): Promise<string> {
  const overrides = config ? { config } : {}
  return (await runtime.start({ manifest, overrides })).instance_id
}

async function ticking(id: string): Promise<string> {
  const said = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return await until("it ticks", said, { is: (text) => text.includes("TICK") })
}

describe.skipIf(guestMissing !== "")(`first-boot configuration ${guestMissing}`, () => {
  let id: string

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-first-boot-"))
    await packGuest(join(root, "store"), "localhost/tests/told:1", ARGS)
    runtime = await openRuntime(root, { log: (...all) => told.push(JSON.stringify(all)) })
    id = await started("localhost/tests/told:1", CONFIG)
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-FBC-001, OVMS-FBC-002
  test("its guest reads it, at each boot under the same id", async () => {
    expect(await ticking(id)).toContain(`SECTOR 100 [{"instance-id":"${id}"`)
    await runtime.restart(id)
    await until("it runs again", () => runtime.status(id), { is: ({ state }) => state === "running" })
    expect(await ticking(id)).toContain(`SECTOR 100 [{"instance-id":"${id}"`)
  })

  // OVMS-FBC-006
  test("nobody else does", async () => {
    expect(statSync(join(folder(id), "first-boot.iso")).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder(id), "instance.json")).mode & 0o777).toBe(0o600)
    expect(JSON.stringify([await runtime.status(id), await runtime.list(), told])).not.toContain(SECRET)
  })

  // OVMS-FBC-006, OVMS-FBC-007
  test("nor does who goes on from a snapshot, whose machine has a disk of the same size", async () => {
    const { size } = statSync(join(folder(id), "first-boot.iso"))
    await runtime.snapshot({ instance_id: id, tag: "s" })
    const blobs = join(root, "store/blobs/sha256")
    for (const name of await readdir(blobs))
      expect(await readFile(join(blobs, name), "latin1")).not.toContain(SECRET)
    const clone = await started("localhost/tests/told:s")
    await ticking(clone)
    expect(await readdir(folder(clone))).not.toContain("first-boot.iso")
    const [pid] = readFileSync(join(folder(clone), "pid"), "utf8").split(" ")
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
    const node = argv.find((word) => word.includes('"node-name":"first-boot"')) ?? "{}"
    expect(JSON.parse(node)).toMatchObject({ driver: "null-co", size, "read-zeroes": true })
    await runtime.stop({ instance_id: clone, grace_ms: 0 })
    await until("it has ended", () => runtime.status(clone), { is: ({ state }) => hasEnded(state) })
  })

  // OVMS-FBC-006, OVMS-FBC-012, OVMS-FBC-013, OVMS-FBC-014
  test("a guest that Ignition sets up finds its configuration where Ignition looks, and nobody else does", async () => {
    const args = `${ARGS} fw_cfg=opt/com.coreos/config`
    await packGuest(join(root, "store"), "localhost/tests/ignition:1", args)
    const ignition = JSON.stringify({ ignition: { version: "3.4.0" }, passwd: { users: [{ name: SECRET }] } })
    const found = `FW_CFG ${ignition.length} [${ignition}]`
    const set = await started("localhost/tests/ignition:1", { ignition })
    expect(await ticking(set)).toContain(found)
    expect(await readdir(folder(set))).not.toContain("first-boot.iso")
    expect(statSync(join(folder(set), "ignition.json")).mode & 0o777).toBe(0o600)
    expect(JSON.stringify([await runtime.status(set), await runtime.list(), told])).not.toContain(SECRET)
    await runtime.restart(set)
    await until("it runs again", () => runtime.status(set), { is: ({ state }) => state === "running" })
    expect(await ticking(set)).toContain(found)
    await runtime.snapshot({ instance_id: set, tag: "s" })
    const clone = await started("localhost/tests/ignition:s")
    await ticking(clone)
    expect(await readdir(folder(clone))).not.toContain("ignition.json")
    const without = await started("localhost/tests/ignition:1")
    expect(await ticking(without)).toContain("FW_CFG none")
    for (const id of [set, clone, without]) await runtime.remove(id, { force: true })
  })

  // OVMS-FBC-012
  test("what Ignition would not take is refused, naming what is wrong, and leaves nothing", async () => {
    const before = (await runtime.list()).length
    const good = '{"ignition":{"version":"3.4.0"}}'
    const refused = async (overrides: Overrides) => {
      const start = runtime.start({ manifest: "localhost/tests/told:1", overrides })
      const { code, message } = await refusal(start)
      expect([code, message]).toEqual(["OVM_REQUEST_INVALID", expect.stringContaining("OVMS-FBC-012")])
      return message
    }
    const odd = [
      "",
      "{",
      "[]",
      "null",
      "{}",
      '{"ignition":{}}',
      '{"ignition":{"version":3}}',
      "variant: fcos",
    ]
    for (const ignition of odd)
      expect(await refused({ config: { ignition } })).toContain("overrides.config.ignition")
    expect(await refused({ config: { ignition: good, hostname: "web" } })).toContain("hostname")
    expect(await refused({ config: { ignition: good }, ssh: {} })).toContain("overrides.ssh")
    expect((await runtime.list()).length).toBe(before)
  })

  // OVMS-FBC-004, OVMS-FBC-005
  test("what contradicts itself, or comes too late, is refused and leaves nothing", async () => {
    const before = (await runtime.list()).length
    const twice = { metaData: "instance-id: x\n", hostname: "web" }
    const contradiction = await refusal(started("localhost/tests/told:1", twice))
    expect([contradiction.code, contradiction.message]).toEqual([
      "OVM_REQUEST_INVALID",
      expect.stringContaining("overrides.config.metaData"),
    ])
    const late = await refusal(started("localhost/tests/told:s", CONFIG))
    expect([late.code, late.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("config")])
    expect((await runtime.list()).length).toBe(before)
  })
})
