import { afterAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { sparsenessOf } from "./as-qcow2.ts"

const MiB = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), "ovm-as-qcow2-"))
afterAll(() => rmSync(folder, { recursive: true }))

test.skipIf(!qemuImg.present)(`a qcow2 is as large as was said ${qemuImg.note}`, async () => {
  const disks: [size: number, places: readonly number[]][] = [
    [1024 * MiB, [400 * MiB]],
    [6000 * MiB, [0, 511 * MiB, 3000 * MiB, 5999 * MiB]],
    [64 * MiB, []],
  ]
  for (const [index, [size, places]] of disks.entries()) {
    const path = join(folder, `${index}.raw`)
    await using file = await open(path, "w")
    await file.truncate(size)
    for (const at of places) await file.write(randomBytes(MiB), 0, MiB, at)
    const found = await sparsenessOf(path)
    expect(found).toMatchObject({ size, data: places.length * MiB })
    const made = join(folder, `${index}.qcow2`)
    qemuImg.run("convert", "-O", "qcow2", path, made)
    expect(Math.abs(found.qcow2 - statSync(made).size)).toBeLessThan(4 * 65_536)
  }
})
