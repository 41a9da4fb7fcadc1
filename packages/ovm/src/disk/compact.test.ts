import { afterAll, expect, test } from "bun:test"
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { replaceFile } from "../files/replace.ts"
import type { ChainFile } from "./chain-reader.ts"
import { withCompact } from "./compact.ts"
import { inspectDisk } from "./inspect.ts"
import { createOverlay } from "./overlay.ts"

const root = mkdtempSync(join(tmpdir(), "ovm-compact-"))
afterAll(() => rmSync(root, { recursive: true }))
const path = (name: string) => join(root, name)
const MIB = 1 << 20

const writeCompact = (overlays: readonly string[], base: readonly ChainFile[], into: string) =>
  withCompact(overlays, base, (content) => replaceFile(into, content))

/** The overlay `name` on top of `below`, written to as qemu-io is told. */
async function overlay(name: string, below: string, format: string, ...writes: string[]): Promise<string> {
  await createOverlay(path(name), 1024 * MIB)
  qemuImg.run("rebase", "-u", "-f", "qcow2", "-b", below, "-F", format, path(name))
  for (const write of writes) qemuImg.io(path(name), write)
  return path(name)
}

test.skipIf(!qemuImg.present)(`what overlays have together, and nothing else ${qemuImg.note}`, async () => {
  for (const kind of ["raw", "qcow2", "compressed", "small"]) {
    const format = kind === "raw" ? "raw" : "qcow2"
    const base = path(`base-${kind}`)
    const plain = path(`plain-${kind}`)
    qemuImg.run("create", "-q", "-f", "qcow2", plain, "1G")
    qemuImg.io(plain, `write -P 7 0 ${8 * MIB}`)
    qemuImg.io(plain, `write -P 9 ${700 * MIB} ${MIB}`)
    const options = { raw: [], qcow2: [], compressed: ["-c"], small: ["-o", "cluster_size=4096"] }[kind] ?? []
    qemuImg.run("convert", "-O", format, ...options, plain, base)
    const low = await overlay(
      `low-${kind}`,
      base,
      format,
      `write -P 1 ${2 * MIB} ${MIB}`,
      `write -P 2 ${100 * MIB} ${MIB}`,
      `write -P 7 0 ${MIB}`,
      `write -P 5 ${5 * MIB + 32768} 512`,
      `write -z ${701 * MIB - 65536} 65536`,
      `write -z ${900 * MIB} ${MIB}`,
    )
    const high = await overlay(
      `high-${kind}`,
      low,
      "qcow2",
      `write -P 3 ${100 * MIB} 65536`,
      `write -P 0 ${3 * MIB} 131072`,
      `write -P 7 ${2 * MIB} 65536`,
    )
    const made = path(`made-${kind}`)
    await writeCompact([low, high], [{ path: base, format }], made)
    const { qcow2, virtualSize } = await inspectDisk(made, { format: "qcow2", role: "diff", guessed: false })
    expect(virtualSize).toBe(1024 * MIB)
    // 15 of 2 MiB, one of 5 MiB, of which little differs, 16 of 100 MiB; zeros are told by their entries alone.
    expect([kind, qcow2?.allocatedClusters]).toEqual([kind, 32])
    expect(statSync(made).size).toBeLessThan(40 * 65536)
    qemuImg.run("check", "-q", made)
    qemuImg.run("rebase", "-u", "-f", "qcow2", "-b", base, "-F", format, made)
    qemuImg.run("compare", "-q", made, high)
  }
})

test.skipIf(!qemuImg.present)(`what nothing was written to is empty ${qemuImg.note}`, async () => {
  const base = path("empty.raw")
  qemuImg.run("create", "-q", "-f", "raw", base, "1G")
  const top = await overlay("untouched", base, "raw")
  await writeCompact([top], [{ path: base, format: "raw" }], path("nothing"))
  qemuImg.run("check", "-q", path("nothing"))
  expect(statSync(path("nothing")).size).toBeLessThan(8 * 65536)
})

test.skipIf(!qemuImg.present)(
  `an overlay that is none of ours is refused, and leaves no file ${qemuImg.note}`,
  async () => {
    const odd = path("odd")
    qemuImg.run("create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", odd, "1M")
    expect((await refusal(writeCompact([odd], [], path("none")))).code).toBe("OVM_DISK_INVALID")
    expect(existsSync(path("none"))).toBe(false)
  },
)
