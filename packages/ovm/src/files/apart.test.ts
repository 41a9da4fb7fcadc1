import { afterAll, expect, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { keepApart } from "./apart.ts"

const EXT4 = 0xef53
const TMPFS = 0x01021994

const root = mkdtempSync(join(tmpdir(), "ovm-apart-"))
afterAll(() => rmSync(root, { recursive: true }))
const ofExt4 = statfsSync(root).type === EXT4

test.skipIf(!ofExt4)("what is made in the folders of a folder is put apart, also a second time", () => {
  const directory = join(root, "instances")
  mkdirSync(directory)
  const flags = () => execFileSync("lsattr", ["-d", directory], { encoding: "utf8" }).split(" ")[0]
  expect(flags()).not.toContain("T")
  for (const _ of [1, 2]) {
    expect(keepApart(directory)).toBe(true)
    expect(flags()).toContain("T")
  }
  // Nothing else was changed.
  expect(flags()).toContain("e")
})

const shm = "/dev/shm"
const noTmpfs = !existsSync(shm) || statfsSync(shm).type !== TMPFS
test.skipIf(noTmpfs)("a file system that knows no such wish is left as it is", () => {
  const directory = mkdtempSync(join(shm, "ovm-apart-"))
  try {
    expect(keepApart(directory)).toBe(false)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

if (!ofExt4) console.log(`skipped: ${root} is not on ext4`)
if (noTmpfs) console.log(`skipped: ${shm} is no tmpfs`)
