import { afterAll, expect, test } from "bun:test"
import { execFileSync } from "node:child_process"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { tarMember } from "../../content/archive/member.ts"
import { padding, TAR_END } from "../../content/archive/tar.ts"
import { tarToTree } from "./read.ts"

// What a guest sends is a stranger's archive.

const root = mkdtempSync(join(tmpdir(), "ovm-tree-"))
afterAll(() => rmSync(root, { recursive: true }))

const file = (name: string, text = "evil") => [
  tarMember(name, text.length, {}),
  Buffer.from(text),
  Buffer.alloc(padding(text.length)),
]
const link = (name: string, to: string) => [tarMember(name, 0, { type: "2", link: to })]
async function* archive(...entries: readonly Uint8Array[][]) {
  yield Buffer.concat([...entries.flat(), TAR_END])
}

async function refusal(entries: readonly Uint8Array[][], to = "new"): Promise<string> {
  const done = tarToTree(archive(...entries), join(root, to), "web:/x")
  return await done.then(
    () => "done",
    ({ code }) => code,
  )
}

test("paths that lead out, and what has two tops, are refused, and nothing of them is left", async () => {
  for (const name of ["../out", "/etc/out", "a/../../out", "a/../b"])
    expect(await refusal([file(name)])).toBe("OVM_ARTIFACT_INVALID")
  expect(await refusal([file("a"), file("b")])).toBe("OVM_ARTIFACT_INVALID")
  expect(await refusal([])).toBe("OVM_FILE_UNREADABLE")
  async function* cut() {
    yield tarMember("a", 5000, {})
    yield Buffer.alloc(100)
  }
  const short = tarToTree(cut(), join(root, "new"), "web:/x")
  expect(await short.catch(({ code }) => code)).toBe("OVM_ARTIFACT_INVALID")
  expect(readdirSync(root)).toEqual([])
})

test("no link is followed, neither one that comes nor one that is there", async () => {
  const outside = join(root, "outside")
  mkdirSync(outside)
  // One that comes is left out, and so what comes below it is in a folder.
  expect(await refusal([link("t/l", outside), file("t/l/f")])).toBe("done")
  expect(await readFile(join(root, "new/l/f"), "utf8")).toBe("evil")
  expect(readdirSync(outside)).toEqual([])
  // One that is there is replaced.
  const target = join(root, "target")
  writeFileSync(target, "as it was")
  symlinkSync(target, join(root, "there"))
  expect(await refusal([file("f")], "there")).toBe("done")
  expect(await readFile(target, "utf8")).toBe("as it was")
})

test("a device is left out, a name that comes twice is refused, and no folder is replaced", async () => {
  expect(await refusal([[tarMember("d/null", 0, { type: "3" })], file("d/f")], "devices")).toBe("done")
  expect(existsSync(join(root, "devices/null"))).toBe(false)
  expect(await refusal([file("f/a"), file("f/a")], "twice")).not.toBe("done")
  mkdirSync(join(root, "folder/f"), { recursive: true })
  expect(await refusal([file("f")], "folder")).toBe("OVM_STATE_CONFLICT")
  expect(readdirSync(join(root, "folder"))).toEqual(["f"])
})

test("a pipe or a device that is there stays what it is", async () => {
  const pipe = join(root, "pipe")
  execFileSync("mkfifo", [pipe])
  expect(await refusal([file("f")], "pipe")).toBe("OVM_STATE_CONFLICT")
  symlinkSync(pipe, join(root, "to-pipe"))
  expect(await refusal([file("f")], "to-pipe")).toBe("OVM_STATE_CONFLICT")
  expect(lstatSync(pipe).isFIFO()).toBe(true)
  expect(lstatSync(join(root, "to-pipe")).isSymbolicLink()).toBe(true)
  expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([])
})

test("long names come whole", async () => {
  const name = `n/${"x".repeat(90)}/${"y".repeat(90)}`
  expect(await refusal([file(name, "long")], "long")).toBe("done")
  expect(await readFile(join(root, "long", name.slice(2)), "utf8")).toBe("long")
})

test.skipIf(mountMissing !== "")(
  `a full disk is named, and nothing is left on it ${mountMissing}`,
  async () => {
    const full = join(root, "full")
    await withTmpfs(full, 1 << 20, async () => {
      writeFileSync(join(full, "there"), "as it was")
      for (const to of [join(full, "there"), full]) {
        const done = tarToTree(
          archive(file("t/a", "x".repeat(100)), file("t/b", "x".repeat(2 << 20))),
          to,
          "web:/t",
        )
        expect(await done.catch(({ code, message, hint }) => [code, message, hint])).toEqual([
          "OVM_NO_SPACE",
          `${to}: no space left on device`,
          "make room there, or name another place",
        ])
        expect(readdirSync(full)).toEqual(["there"])
        expect(await readFile(join(full, "there"), "utf8")).toBe("as it was")
      }
    })
  },
)
