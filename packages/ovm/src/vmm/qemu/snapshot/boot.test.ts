import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import type { DeviceState } from "../migration/splitter.ts"
import { wasRead } from "./boot.ts"
import { isGenerationFixed } from "./generation.ts"
import { refuseInstant } from "./instant.ts"

const root = mkdtempSync(join(tmpdir(), "ovm-boot-"))
afterAll(() => rmSync(root, { recursive: true }))

/** A state whose one device is called `name`, after three bytes of something else. */
function stateOf(name: string, state: Buffer, version = 2): DeviceState {
  const devices = [{ name, instance: 0, version, at: 3, size: state.length }]
  const configuration = { machineType: "pc-q35-7.2", capabilities: [] }
  return { bytes: Buffer.concat([Buffer.alloc(3), state]), configuration, devices }
}

// moments.suite.ts has what QEMU's firmware really leaves there. OVMS-SNP-131
test("a guest has read what it was started with once the last of it was read whole, and nothing else since", () => {
  const boot = { args: "quiet", last: { item: 0x15, offset: 6 } }
  const at = (item: number, offset: number, version = 2, name = "fw_cfg") => {
    const state = Buffer.alloc(6)
    state.writeUInt16BE(item)
    state.writeUInt32BE(offset, 2)
    return stateOf(name, state, version)
  }
  expect(wasRead(boot, at(0x15, 6))).toBe(true)
  // In the middle, before it, at the directory of files, in a form that is not known, and where there is no such
  // device.
  for (const state of [at(0x15, 3), at(0x12, 6), at(0x19, 4), at(0x15, 6, 1), at(0x15, 6, 2, "timer")])
    expect(wasRead(boot, state)).toBe(false)
  expect(wasRead({ args: "quiet" }, at(0x15, 6))).toBe(false)
})

// OVMS-SNP-136
test("a generation ID is fixed while the firmware has it, and QEMU does not know where", async () => {
  const id = "00112233-4455-6677-8899-aabbccddeeff"
  const memory = Buffer.from("33221100554477668899aabbccddeeff", "hex")
  const [with_, without] = [join(root, "with"), join(root, "without")]
  const page = Buffer.alloc(4096)
  memory.copy(page, 40)
  writeFileSync(with_, Buffer.concat([Buffer.alloc(3 << 20), page]))
  // Elsewhere in a page it is only a copy.
  writeFileSync(without, Buffer.concat([Buffer.alloc(7), page]))
  for (const path of [with_, without]) truncateSync(path, 5 << 20)
  const [nowhere, somewhere] = [Buffer.alloc(8), Buffer.of(40, 0, 0xfd, 0, 0, 0, 0, 0)]
  expect(await isGenerationFixed(stateOf("vmgenid", nowhere), with_, id)).toBe(true)
  expect(await isGenerationFixed(stateOf("vmgenid", somewhere), with_, id)).toBe(false)
  expect(await isGenerationFixed(stateOf("vmgenid", nowhere), without, id)).toBe(false)
  expect(await isGenerationFixed(stateOf("vmgenid", nowhere), with_, undefined)).toBe(false)
  expect(await isGenerationFixed(stateOf("timer", nowhere), with_, id)).toBe(false)
})

// OVMS-SNP-135. What QEMU writes there is in snapshot-faults.suite.ts.
test("a guest that came to an end while it was copied is no snapshot", async () => {
  const at = (word: string) => {
    const state = Buffer.alloc(4 + 100)
    state.writeUInt32BE(word.length + 1)
    state.write(word, 4)
    return stateOf("globalstate", state, 1)
  }
  for (const word of ["running", "paused", "prelaunch"])
    expect(await refuseInstant(at(word), "")).toBeUndefined()
  for (const word of ["guest-panicked", "shutdown", "suspended", "io-error", "internal-error"]) {
    const error = await refusal(refuseInstant(at(word), ""))
    expect([error.code, error.message]).toEqual(["OVM_STATE_CONFLICT", expect.stringContaining(word)])
  }
})
