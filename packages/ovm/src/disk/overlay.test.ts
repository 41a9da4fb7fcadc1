import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { inspectDisk, MAX_VIRTUAL_SIZE } from "./inspect.ts"
import { createOverlay } from "./overlay.ts"

const folder = mkdtempSync(join(tmpdir(), "ovm-overlay-"))
afterAll(() => rmSync(folder, { recursive: true }))

describe("createOverlay", () => {
  const sizes = [512, 65_536, 65_536 + 512, 2 ** 29, 2 ** 29 + 512, 2 ** 31, 2 ** 40 + 1536, MAX_VIRTUAL_SIZE]
  for (const size of sizes)
    test(`of ${size} bytes is what we say it is`, async () => {
      const path = join(folder, `own-${size}.qcow2`)
      await createOverlay(path, size)
      const info = await inspectDisk(path, { format: "qcow2", role: "base" })
      expect(info.virtualSize).toBe(size)
      expect(info.qcow2).toMatchObject({ version: 3, allocatedClusters: 0, clusterSize: 65_536 })
      const stat = statSync(path)
      expect(stat.mode & 0o777).toBe(0o600)
      expect(stat.blocks * 512).toBeLessThan(64 * 1024)
    })

  for (const size of sizes)
    test.skipIf(!qemuImg.present)(
      `of ${size} bytes is clean to qemu-img and can be written to ${qemuImg.note}`,
      async () => {
        const path = join(folder, `checked-${size}.qcow2`)
        await createOverlay(path, size)
        qemuImg.run("check", "-f", "qcow2", path)
        expect(qemuImg.json("info", "-f", "qcow2", path)).toMatchObject({
          "virtual-size": size,
          format: "qcow2",
        })
        qemuImg.io(path, `write -P 7 ${size - 512} 512`, "write -P 9 0 512")
        qemuImg.run("check", "-f", "qcow2", path)
        const { qcow2 } = await inspectDisk(path, { format: "qcow2", role: "diff" })
        expect(qcow2?.allocatedClusters).toBe(size > 65_536 ? 2 : 1)
      },
    )

  test("refuses sizes that no disk can have, naming the file", async () => {
    for (const size of [0, -512, 511, 1000, Number.NaN, Number.POSITIVE_INFINITY, MAX_VIRTUAL_SIZE + 512]) {
      const path = join(folder, "refused.qcow2")
      expect(await refusal(createOverlay(path, size))).toMatchObject({
        code: "OVM_DISK_INVALID",
        message: expect.stringContaining(path),
      })
      expect(() => statSync(path)).toThrow()
    }
  })

  test("never replaces a file", async () => {
    const path = join(folder, "there.qcow2")
    writeFileSync(path, "mine")
    expect(await refusal(createOverlay(path, 512))).toMatchObject({ message: expect.stringContaining(path) })
    expect(await Bun.file(path).text()).toBe("mine")
  })
})
