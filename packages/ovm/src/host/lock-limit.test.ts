import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { assertLockable, lockLimit } from "./lock-limit.ts"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-lock-"))
})
afterAll(() => rm(folder, { recursive: true }))

async function limitOf(capabilities: string, limit: string): Promise<number> {
  await writeFile(join(folder, "status"), `Name:\tovm\nCapEff:\t${capabilities}\n`)
  const line = "Max locked memory         "
  await writeFile(
    join(folder, "limits"),
    `Limit Soft Limit Hard Limit Units\n${line}${limit}   ${limit}   bytes\n`,
  )
  return lockLimit(folder)
}

test("the limit is the kernel's, unless the process may lock all", async () => {
  expect(await limitOf("0000000000000000", "8388608")).toBe(8388608)
  expect(await limitOf("0000000000000000", "unlimited")).toBe(Number.POSITIVE_INFINITY)
  expect(await limitOf("0000000000004000", "8388608")).toBe(Number.POSITIVE_INFINITY)
  expect(await limitOf("000001ffffffffff", "0")).toBe(Number.POSITIVE_INFINITY)
  expect(await lockLimit()).toBeGreaterThanOrEqual(0)
})

test("what cannot be locked is refused by the limit's name, with both numbers (OVMS-SNP-102)", async () => {
  await assertLockable("sha256:1", 1 << 30, 2 ** 31)
  const error = await refusal(assertLockable("sha256:1", 1 << 30, 8388608))
  expect([error.code, error.message]).toEqual([
    "OVM_UNSUPPORTED",
    expect.stringMatching(/mlock_required.*sha256:1.*RLIMIT_MEMLOCK is 8388608 bytes, and 1610612736/),
  ])
})
