import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { toOvmError } from "../errors.ts"
import { replaceAtOnce, replaceFile } from "./replace.ts"
import { sweepTemporaries, temporaryIn } from "./temporary.ts"

let all: string
let folder: string
let path: string

beforeAll(async () => {
  all = await mkdtemp(join(tmpdir(), "ovm-replace-"))
})

beforeEach(async () => {
  folder = await mkdtemp(join(all, "x"))
  path = join(folder, "file")
})

afterAll(() => rm(all, { recursive: true, force: true }))

async function failure(work: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await work()
  } catch (thrown) {
    const { code, message } = toOvmError(thrown)
    return { code, message }
  }
  throw new Error("nothing failed")
}

describe.each([
  ["at once", async (...args: Parameters<typeof replaceAtOnce>) => replaceAtOnce(...args)],
  ["slowly", replaceFile],
  [
    "durably",
    (...[path, content, options]: Parameters<typeof replaceAtOnce>) =>
      replaceFile(path, content, { ...options, durable: true }),
  ],
] as const)("a file is replaced whole %s", (_, replace) => {
  test("whether it is there or not, with its mode and nothing left beside it", async () => {
    await replace(path, "one")
    expect(await readFile(path, "utf8")).toBe("one")
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const { ino } = await stat(path)
    await replace(path, Buffer.from("two"), { mode: 0o640 })
    expect(await readFile(path, "utf8")).toBe("two")
    const now = await stat(path)
    expect([now.mode & 0o777, now.ino === ino]).toEqual([0o640, false])
    expect(await readdir(folder)).toEqual(["file"])
  })

  test("by fifty at once: one of them wins, and none fails", async () => {
    const texts = Array.from({ length: 50 }, (_, at) => `${at} `.repeat(1000))
    await Promise.all(texts.map((text) => replace(path, text)))
    expect(texts).toContain(await readFile(path, "utf8"))
    expect(await readdir(folder)).toEqual(["file"])
  })

  test("by a temporary file in another folder", async () => {
    await mkdir(join(folder, "by"))
    await replace(path, "one", { by: join(folder, "by") })
    expect((await readdir(folder, { recursive: true })).sort()).toEqual(["by", "file"])
    const by = join(folder, "none")
    expect(await failure(() => replace(path, "two", { by }))).toEqual({
      code: "OVM_FILE_UNREADABLE",
      message: `${path}: no such file or directory`,
    })
    expect(await readFile(path, "utf8")).toBe("one")
  })

  test("or not at all: what fails names the file, and leaves nothing", async () => {
    await mkdir(path)
    expect(await failure(() => replace(path, "one"))).toEqual({
      code: "OVM_FILE_UNREADABLE",
      message: `${path}: is a directory`,
    })
    expect(await readdir(folder)).toEqual(["file"])
  })

  test("in place of a link, not of what it points to", async () => {
    await writeFile(join(folder, "other"), "mine")
    await symlink("other", path)
    await replace(path, "one")
    expect((await lstat(path)).isFile()).toBe(true)
    expect(await readFile(join(folder, "other"), "utf8")).toBe("mine")
  })
})

describe("through links", () => {
  test.each([true, false])("what they point to is replaced, present: %p", async (present) => {
    // Relative to where the link really is: by text `..` would mean another folder.
    await mkdir(join(folder, "dotfiles/docker"), { recursive: true })
    await mkdir(join(folder, "secrets"))
    await symlink("dotfiles/docker", join(folder, "home"))
    await symlink("../../secrets/config", join(folder, "dotfiles/docker/hop"))
    await symlink(join(folder, "home/hop"), join(folder, "home/link"))
    const target = join(folder, "secrets/config")
    if (present) await writeFile(target, "old")
    await replaceFile(join(folder, "home/link"), "new", { through: true })
    expect((await lstat(target)).isFile()).toBe(true)
    expect(await readFile(target, "utf8")).toBe("new")
    expect(await readlink(join(folder, "dotfiles/docker/hop"))).toBe("../../secrets/config")
    expect(await readdir(join(folder, "secrets"))).toEqual(["config"])
  })

  test("that go round in circles", async () => {
    await symlink("file", path)
    expect((await failure(() => replaceFile(path, "x", { through: true }))).message).toContain(path)
    expect(await readlink(path)).toBe("file")
  })
})

test("content in pieces, and content that fails half-way", async () => {
  await replaceFile(
    path,
    (async function* () {
      yield Buffer.from("one ")
      yield Buffer.alloc(0)
      yield Buffer.from("two")
    })(),
  )
  expect(await readFile(path, "utf8")).toBe("one two")
  const broken = (async function* () {
    yield Buffer.alloc(1 << 20)
    throw new Error("the source broke")
  })()
  expect((await failure(() => replaceFile(path, broken))).message).toBe("the source broke")
  expect(await readFile(path, "utf8")).toBe("one two")
  expect(await readdir(folder)).toEqual(["file"])
})

test("what writers that died left is swept once it is old, and nothing else", async () => {
  const name = (digit: string) => `.ovm-${digit.repeat(8)}-0000-4000-8000-${"0".repeat(12)}.tmp`
  for (const left of [name("1"), name("2"), `${name("3")}.bak`, ".ovm-mine.tmp"])
    await writeFile(join(folder, left), "")
  const before = new Date(Date.now() - 2 * 3_600_000)
  await utimes(join(folder, name("1")), before, before)
  await sweepTemporaries(folder)
  expect((await readdir(folder)).sort()).toEqual([name("2"), `${name("3")}.bak`, ".ovm-mine.tmp"].sort())
  await sweepTemporaries(folder, 0)
  expect(await readdir(folder)).toHaveLength(2)
  await sweepTemporaries(join(folder, "none"))
})

test("what a writer left that is seen to have gone is swept at once, and nobody's who is there", async () => {
  const mine = temporaryIn(folder)
  const [, boot, namespace, pid] = /ovm-(\w+)\.(\d*)\.(\d+)\.\d+-/.exec(mine) ?? []
  const gone = Bun.spawnSync(["true"]).pid
  const named = (writer: string) => join(folder, `.ovm-${writer}-${crypto.randomUUID()}.tmp`)
  const others = [
    named(`${"0".repeat(12)}.${namespace}.${gone}.1`),
    named(`${boot}.${namespace}1.${gone}.1`),
    mine,
  ]
  // A process has the pid of one that has gone.
  const left = [named(`${boot}.${namespace}.${gone}.1`), named(`${boot}.${namespace}.${pid}.1`)]
  for (const path of [...others, left[0] ?? ""]) await writeFile(path, "")
  await mkdir(join(left[1] ?? "", "folder"), { recursive: true })
  // The clock was set, or it takes long.
  const before = new Date(Date.now() - 2 * 3_600_000)
  await utimes(mine, before, before)
  await sweepTemporaries(folder)
  expect((await readdir(folder)).sort()).toEqual(others.map((path) => basename(path)).sort())
})

const namespaces = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0
if (!namespaces) console.warn("skipped: a full disk needs user namespaces, which this machine does not give")

test.skipIf(!namespaces)("on a full disk the file stays as it was and is named", async () => {
  await chmod(folder, 0o755)
  const code = `
    const { readdirSync, readFileSync } = await import("node:fs")
    const { replaceAtOnce, replaceFile } = await import(${JSON.stringify(join(import.meta.dir, "replace.ts"))})
    const { toOvmError } = await import(${JSON.stringify(join(import.meta.dir, "../errors.ts"))})
    const path = ${JSON.stringify(path)}
    replaceAtOnce(path, "old")
    const large = "x".repeat(1 << 20)
    const found = []
    for (const replace of [replaceAtOnce, replaceFile])
      try { await replace(path, large); found.push("written") }
      catch (thrown) { const { code, message } = toOvmError(thrown); found.push([code, message]) }
    console.log(JSON.stringify([found, readFileSync(path, "utf8"), readdirSync(${JSON.stringify(folder)})]))`
  const script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -e "$3"'
  const child = spawnSync("unshare", ["-rm", "sh", "-c", script, "sh", folder, process.execPath, code])
  const named = ["OVM_NO_SPACE", `${path}: no space left on device`]
  expect(JSON.parse(child.stdout.toString())).toEqual([[named, named], "old", ["file"]])
})
