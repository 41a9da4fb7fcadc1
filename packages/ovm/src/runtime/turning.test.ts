import { afterAll, expect, test } from "bun:test"
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createOverlay } from "../disk/overlay.ts"
import { spent } from "../vmm/process/attempt.ts"
import { furtherOverlay } from "./disks.ts"
import type { Lineage } from "./record.ts"
import { turned, turning } from "./turning.ts"

const directory = mkdtempSync(join(tmpdir(), "ovm-turning-"))
afterAll(() => rmSync(directory, { recursive: true }))

const base = { mediaType: "x", digest: `sha256:${"0".repeat(64)}`, size: 1 } as const
const path = (name: string) => join(directory, name)

// OVMS-SNP-180
test("of a machine that has ended each disk is told by its own file, and what nobody wrote to is removed", async () => {
  const [top, unused, cut, written] = ["top", "unused", "cut", "written"].map(path) as [
    string,
    string,
    string,
    string,
  ]
  const lineage: Lineage = { base, overlays: ["below"], top }
  const disks = new Map([
    ["cut", cut],
    ["none", path("none")],
    ["written", written],
  ])
  const before = turning(lineage, { ram: "", state: "", overlay: unused, disks })
  // An empty one, one that is not whole, and one that QEMU made larger.
  for (const one of [unused, written]) await createOverlay(one, 1 << 30)
  writeFileSync(cut, Buffer.alloc(1 << 20))
  truncateSync(written, 5 << 16)
  writeFileSync(spent(unused), "")
  expect(turned(directory, before)).toEqual({
    ...lineage,
    disks: [{ name: "written", overlays: [furtherOverlay(directory, "written")], top: written }],
  })
  const left = [unused, cut, written, spent(unused)].map((one) => existsSync(one))
  expect(left).toEqual([false, false, true, false])
  // One of which nothing was being taken is as it was.
  expect(turned(directory, lineage)).toBe(lineage)
  expect(turning(lineage, { ram: "", state: "", last: true })).toBe(lineage)
})
