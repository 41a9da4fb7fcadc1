import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { OvmError } from "../../../errors.ts"
import { findQemu } from "../find.ts"
import { RAM_ID } from "../model.ts"
import { judgedState } from "./judged.ts"
import { record } from "./record.testing.ts"
import { StreamSplitter } from "./splitter.ts"

const MEMORY = 32 << 20
const folder = mkdtempSync(join(tmpdir(), "ovm-judged-"))
afterAll(() => rmSync(folder, { recursive: true }))

const missing = guestMissing || (await findQemu().then(() => "", String))

/** The state of a machine of QEMU's. */
async function stateOf(): Promise<Buffer> {
  const stream = await record(join(folder, "machine"), await buildGuest(), MEMORY)
  const splitter = new StreamSplitter({ name: RAM_ID, size: MEMORY }, { page: () => {}, zero: () => {} })
  splitter.push(stream)
  return splitter.end().bytes
}

function refusal(bytes: Buffer, memory = MEMORY): string {
  try {
    judgedState(bytes, memory)
  } catch (thrown) {
    if (thrown instanceof OvmError) return thrown.code
    throw thrown
  }
  return "none"
}

test.skipIf(missing !== "")("a state that was judged is known again, and none that differs", async () => {
  const state = await stateOf()
  const first = judgedState(state, MEMORY)
  expect(first.configuration.machineType).toStartWith("pc-q35-")
  expect(judgedState(Buffer.from(state), MEMORY)).toBe(first)
  expect(refusal(state.subarray(0, -1))).toBe("OVM_VMM_FAILED")
  expect(refusal(Buffer.concat([state, Buffer.alloc(1)]))).toBe("OVM_VMM_FAILED")
  expect(refusal(state, 2 * MEMORY)).toBe("OVM_VMM_FAILED")
  const other = Buffer.from(state)
  other[0] = 0
  expect(refusal(other)).toBe("OVM_VMM_FAILED")
})
