import { afterAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { cpSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { hashFile } from "../content/layout/blobs.ts"
import type { ChainFile } from "../disk/chain-reader.ts"
import { isPlainQcow2, withPlain } from "../disk/plain.ts"
import { writeAlone } from "./write.ts"

const root = mkdtempSync(join(tmpdir(), "ovm-write-"))
afterAll(() => rmSync(root, { recursive: true }))
const path = (name: string) => join(root, name)
const MIB = 1 << 20
/** No whole number of clusters, and of several L2 tables. */
const SIZE = 1100 * MIB + 512
/** Clusters that are not zero: of 24 MiB, two, and three alone. */
const DATA = 384 + 2 + 3

async function written(from: ChainFile) {
  const to = path("written")
  rmSync(to, { force: true })
  const digest = await writeAlone(from, to, {})
  expect(digest).toBe(await hashFile(to))
  qemuImg.run("check", "-q", to)
  qemuImg.run("compare", "-q", "-f", from.format, "-F", "qcow2", from.path, to)
  return { digest, bytes: statSync(to).size }
}

test.skipIf(!qemuImg.present)(
  `a disk is written as the same bytes from raw and from qcow2 ${qemuImg.note}`,
  async () => {
    // Bytes that differ everywhere tell if any are put in the place of others.
    const noise = path("noise")
    writeFileSync(noise, randomBytes(24 * MIB))
    const qcow2 = path("disk.qcow2")
    qemuImg.run("create", "-q", "-f", "qcow2", qcow2, `${SIZE}`)
    qemuImg.io(
      qcow2,
      `write -s ${noise} ${3 * MIB} ${24 * MIB}`,
      // Out of order in the file, alone, at the end of a cluster, zeros that take room, and the last sector.
      `write -P 8 65536 131072`,
      `write -P 9 ${40 * MIB + 65536 - 512} 512`,
      `write -P 0 ${50 * MIB} ${MIB}`,
      `write -z ${52 * MIB} ${MIB}`,
      `write -P 3 ${700 * MIB} 65536`,
      `write -P 4 ${SIZE - 512} 512`,
    )
    const raw = path("disk.raw")
    qemuImg.run("convert", "-O", "raw", qcow2, raw)
    const first = await written({ path: qcow2, format: "qcow2" })
    // Three L2 tables, and what leads to them.
    expect(first.bytes).toBe((DATA + 3 + 4) * 65536)
    expect(await written({ path: raw, format: "raw" })).toEqual(first)

    // What a file has behind the end of the disk is not the disk's.
    const longer = path("longer.qcow2")
    cpSync(qcow2, longer)
    qemuImg.run("resize", "-q", longer, `${SIZE + 4096}`)
    qemuImg.io(longer, `write -P 5 ${SIZE} 4096`)
    const fd = openSync(longer, "r+")
    const size = Buffer.alloc(8)
    size.writeBigUInt64BE(BigInt(SIZE))
    writeSync(fd, size, 0, 8, 24)
    expect(await isPlainQcow2(longer, {})).toBe(true)
    expect(await written({ path: longer, format: "qcow2" })).toEqual(first)

    // It is known before anything is written.
    const least = (most: number) => withPlain({ path: raw, format: "raw" }, (disk) => disk.filled(most, {}))
    await least(DATA * 65536)
    expect((await refusal(least((DATA - 1) * 65536))).code).toBe("OVM_DISK_INVALID")
  },
)

test.skipIf(!qemuImg.present)(`what a qcow2 is that is not read here ${qemuImg.note}`, async () => {
  const plain = path("plain.qcow2")
  qemuImg.run("create", "-q", "-f", "qcow2", plain, "4M")
  qemuImg.io(plain, "write -P 7 0 1M")
  expect(await isPlainQcow2(plain, {})).toBe(true)
  for (const options of [["-c"], ["-o", "cluster_size=4096"], ["-o", "extended_l2=on"]]) {
    const other = path("other.qcow2")
    qemuImg.run("convert", "-O", "qcow2", ...options, plain, other)
    expect([options, await isPlainQcow2(other, {})]).toEqual([options, false])
  }
  qemuImg.run("snapshot", "-c", "before", plain)
  expect(await isPlainQcow2(plain, {})).toBe(false)
})
