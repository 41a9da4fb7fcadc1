import { afterEach, beforeEach, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { type Found, findInstances, look } from "./find.ts"
import type { InstanceInfo } from "./interfaces.ts"
import { createDirectory, type InstanceRecord, removeDirectory, writeRecord } from "./record.ts"

const ID = "00000000-0000-4000-8000-00000000000"
let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-record-"))
})
afterEach(() => rm(root, { recursive: true }))

test("a record comes back as it was written, in a directory for its user alone", async () => {
  const record = recordOf(`${ID}1`)
  write(`${ID}1`, record)
  expect(find()).toEqual([{ id: `${ID}1`, record }])
  const directory = join(root, `${ID}1`)
  expect((await readdir(directory)).sort()).toEqual(["instance.json", "volumes.json"])
  expect((await stat(directory)).mode & 0o777).toBe(0o700)
})

// OVMS-STA-026
test("only what nobody was told of, or was being removed, is nobody's", async () => {
  createDirectory(join(root, `${ID}1`))
  expect(find()).toEqual([{ id: `${ID}1`, nobodys: true }])
  // Killed between the record and the end of its beginning.
  write(`${ID}2`, recordOf(`${ID}2`))
  await writeFile(join(root, `${ID}2`, "unrecorded"), "")
  expect(look(root, `${ID}2`)).toMatchObject({ record: { schema: 1 } })
  // Killed in the middle of its removal.
  await rename(join(root, `${ID}2`, "instance.json"), join(root, `${ID}2`, "unrecorded"))
  await writeFile(join(root, `${ID}2`, "overlay.qcow2"), "x")
  expect(look(root, `${ID}2`)).toEqual({ id: `${ID}2`, nobodys: true })
  await removeDirectory(join(root, `${ID}2`))
  expect(look(root, `${ID}2`)).toBeUndefined()
})

// OVMS-STA-024, OVMS-STA-026
test("whatever else is found is kept, with the reason", async () => {
  const reasons: [(directory: string) => unknown, string][] = [
    [(directory) => writeFile(join(directory, "instance.json"), ""), "it is empty"],
    [
      (directory) => writeFile(join(directory, "instance.json"), '{"schema":1,"info":{"ins'),
      "it is not JSON",
    ],
    [(directory) => writeFile(join(directory, "instance.json"), "null"), "it is not an object"],
    [(directory) => writeFile(join(directory, "instance.json"), "[]"), "it is not an object"],
    [change({ schema: 99 }), "its schema is 99"],
    [change({ schema: undefined }), "its schema is undefined"],
    [change({ info: null }), "it is not of this instance"],
    [change({ info: recordOf("another").info }), "it is not of this instance"],
    [change((record) => ({ info: { ...record.info, state: "dreaming" } })), "it has no state"],
    [change({ machine: { vmm: "qemu" } }), "its machine cannot be understood"],
    [(directory) => rm(join(directory, "instance.json")), "it has no record"],
    [folder, "it is not a file"],
    [(directory) => put(directory, "pipe"), "it is not a file"],
    [(directory) => put(directory, "disk"), "instance.json"],
  ]
  for (const [spoil, reason] of reasons) {
    const id = `${ID}3`
    write(id, recordOf(id))
    await writeFile(join(root, id, "disk"), "what the guest wrote")
    await spoil(join(root, id))
    const found = look(root, id)
    expect(reasonOf(found)).toContain(reason)
    expect(reasonOf(found)).toStartWith(join(root, id))
    expect(await readFile(join(root, id, "disk"), "utf8")).toBe("what the guest wrote")
    await removeDirectory(join(root, id))
  }
  expect(await readdir(root)).toEqual([])
})

test("what is no directory of an instance is not taken for one, and a link's target is not removed", async () => {
  const other: string[] = []
  await writeFile(join(root, "README"), "x")
  await mkdir(join(root, "lost+found"))
  const outside = await mkdtemp(join(tmpdir(), "ovm-outside-"))
  await writeFile(join(outside, "instance.json"), JSON.stringify(recordOf(`${ID}4`)))
  await symlink(outside, join(root, `${ID}4`))
  await writeFile(join(root, `${ID}5`), "x")
  const found = findInstances(root, (path) => other.push(path))
  expect(found.map(reasonOf)).toEqual([
    expect.stringContaining("not a folder"),
    expect.stringContaining("not a folder"),
  ])
  expect(other.sort()).toEqual([join(root, "README"), join(root, "lost+found")])
  await removeDirectory(join(root, `${ID}4`))
  expect(await readdir(outside)).toEqual(["instance.json"])
  await rm(outside, { recursive: true })
})

test("what can be done without is left out where it is not what it should be", async () => {
  const id = `${ID}6`
  const odd = { created: undefined, warnings: [1], timings_ms: null, exit: "gone", name: 7, later: "kept" }
  write(id, recordOf(id))
  await change((record) => ({ info: { ...record.info, ...odd } }))(join(root, id))
  const found = look(root, id)
  expect(found).toMatchObject({
    record: { info: { state: "stopped", name: id, warnings: [], later: "kept" } },
  })
  expect(found && "record" in found && found.record.info.exit).toBeUndefined()
  expect(found && "record" in found && found.record.info.created).toMatch(/^\d{4}-/)
})

test("no path in a record leads out of its directory, wherever that is now", async () => {
  const id = `${ID}7`
  const digest = `sha256:${"0".repeat(64)}`
  const base = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1 }
  const identity = { bootId: "x", pid: 1, startTime: 1 }
  const machine = { vmm: "qemu", version: "7.2", accelerator: "tcg", directory: "/etc", ...identity }
  const lineage = { base, overlays: [base, "/etc/shadow", "../../x"], top: "/root/.ssh/id_rsa" }
  write(id, recordOf(id))
  await change({ machine, lineage })(join(root, id))
  const inside = (name: string) => join(root, id, name)
  expect(look(root, id)).toMatchObject({
    record: {
      machine: { directory: join(root, id) },
      lineage: { overlays: [base, inside("shadow"), inside("x")], top: inside("id_rsa") },
    },
  })
})

function find(): Found[] {
  return findInstances(root, () => {})
}

function reasonOf(found: Found | undefined): string {
  return found && "fault" in found ? found.fault.message : `is not unreadable: ${JSON.stringify(found)}`
}

function write(id: string, record: InstanceRecord): void {
  createDirectory(join(root, id))
  writeRecord(join(root, id), record, true)
}

function change(patch: object | ((record: InstanceRecord) => object)) {
  return async (directory: string) => {
    const path = join(directory, "instance.json")
    const record = JSON.parse(await readFile(path, "utf8")) as InstanceRecord
    await writeFile(
      path,
      JSON.stringify({ ...record, ...(typeof patch === "function" ? patch(record) : patch) }),
    )
  }
}

async function folder(directory: string): Promise<void> {
  await rm(join(directory, "instance.json"))
  await mkdir(join(directory, "instance.json"))
}

/** In place of the record, a link to what is called `name` beside it, or that itself. */
async function put(directory: string, name: string): Promise<void> {
  await rm(join(directory, "instance.json"))
  if (name === "pipe") spawnSync("mkfifo", [join(directory, "instance.json")])
  else await symlink(join(directory, name), join(directory, "instance.json"))
}

function recordOf(id: string): InstanceRecord {
  const info: InstanceInfo = {
    instance_id: id,
    name: id,
    state: "stopped",
    image: { reference: "demo:latest" },
    resources: { vcpus: 1, memory: 1 << 20 },
    timings_ms: {},
    warnings: [],
    created: "2026-01-01T00:00:00.000Z",
  }
  return { schema: 1, info }
}

test("what says that the rest may go is the last to go", async () => {
  // On a busy host nobody may have looked while it was going.
  await until("a look in the middle", async () => {
    const looks = await looksAtRemoval(join(root, crypto.randomUUID()))
    expect(looks.filter((names) => names.length > 0 && !names.includes("unrecorded"))).toEqual([])
    return looks.some((names) => names.length > 1 && names.length < FILES)
  })
})

const FILES = 2000

/** What is in a directory of an instance, again and again while it is removed. */
async function looksAtRemoval(directory: string): Promise<string[][]> {
  createDirectory(directory)
  for (let nth = 0; nth < FILES; nth++) writeFileSync(join(directory, `file-${nth}`), "")
  let gone = false
  const removal = removeDirectory(directory).finally(() => {
    gone = true
  })
  const looks: string[][] = []
  while (!gone) {
    looks.push(await readdir(directory).catch(() => []))
    await Bun.sleep(1)
  }
  await removal
  return looks
}
