import { once } from "node:events"
import {
  chmod,
  chown,
  constants,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { TYPE } from "../../agent/frame.ts"
import { tarOf } from "../../agent/tar.ts"
import { type Check, must, skip } from "../../check.ts"
import { entriesOf } from "../../foreign/untar.ts"
import { utf8 } from "../../registry/content.ts"
import type { Agent, Host } from "../../subject/agent.ts"
import { hostPlan } from "./plan.ts"

async function write(host: Host, archive: Buffer, ...words: readonly string[]) {
  const stream = host.open("write", ...words)
  host.say(TYPE.data, stream, archive)
  host.say(TYPE.end, stream)
  return { ...(await host.exit(stream)), err: host.output(stream, 2).toString() }
}

async function read(host: Host, path: string) {
  const stream = host.open("read", `path=${path}`)
  const exit = await host.exit(stream)
  return { ...exit, archive: host.output(stream), err: host.output(stream, 2).toString() }
}

/** On Linux, of which Node does not say it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY
const NEW = utf8("new content\n")
/** Without a block, with whole ones, and with one that is not. */
const SIZES = [0, 512, 513]
/** Whose the files are that a suite may give away. */
const OTHER = [65_534, 65_533] as const
const isRoot = () => process.getuid?.() === 0

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}

export const agentFilePlans: readonly Check<Agent>[] = [
  hostPlan("read", ["OVMS-AGT-060", "OVMS-AGT-064"], async ({ host, folder }) => {
    const top = join(folder, "top")
    const long = "n".repeat(150)
    await mkdir(join(top, "inner"), { recursive: true })
    await chmod(join(top, "inner"), 0o1751)
    for (const size of SIZES) await writeFile(join(top, `of-${size}`), Buffer.alloc(size, "x"))
    await writeFile(join(top, "inner", long), "content")
    await chmod(join(top, "inner", long), 0o640)
    await utimes(join(top, "inner", long), 1_234_567_890, 1_234_567_890)
    if (isRoot()) await chown(join(top, "inner", long), ...OTHER)
    await symlink("inner/nowhere", join(top, "link"))
    await symlink(`inner/${long}`, join(top, "long-link"))
    await utimes(join(top, "inner"), 1_234_567_891, 1_234_567_891)
    await symlink(top, join(folder, "way"))
    for (const [name, behind] of [
      ["top", ""],
      ["top", "/"],
      ["way", ""],
    ] as const) {
      const { value, archive } = await read(host, `${join(folder, name)}${behind}`)
      must(value === 0, `a read ended with ${value}`)
      must(archive.subarray(-512).equals(Buffer.alloc(512)), "at its end there is no block of zeros")
      const entries = new Map(entriesOf(archive).map((entry) => [entry.name.replace(/\/$/, ""), entry]))
      const file = entries.get(`${name}/inner/${long}`)
      must(
        file?.content.toString() === "content",
        `there is no file of the long name in ${[...entries.keys()].join(", ")}`,
      )
      must((file.mode & 0o7777) === 0o640 && file.mtime === 1_234_567_890, "mode or time is another")
      must(
        !isRoot() || file.owner === OTHER.join(":"),
        `a file of ${OTHER.join(":")} is given as ${file.owner}'s`,
      )
      const inner = entries.get(`${name}/inner`)
      must(inner && (inner.mode & 0o7777) === 0o1751, "a folder has another mode")
      must(inner.mtime === 1_234_567_891, "a folder has another time")
      for (const size of SIZES)
        must(entries.get(`${name}/of-${size}`)?.content.length === size, `a file of ${size} bytes has others`)
      for (const [link, to] of [
        ["link", "inner/nowhere"],
        ["long-link", `inner/${long}`],
      ])
        must(entries.get(`${name}/${link}`)?.link === to, "a link was not given as it is")
      must(
        entries.get(name)?.type === "5" && entries.get(`${name}/inner`)?.type === "5",
        "folders are missing",
      )
    }
    const missing = await read(host, join(folder, "missing"))
    must(missing.value !== 0 && missing.err !== "", "a path that is not there was read")
  }),
  hostPlan("write", ["OVMS-AGT-061", "OVMS-AGT-064"], async ({ host, folder }) => {
    await mkdir(join(folder, "there"))
    await writeFile(join(folder, "there", "kept"), "kept")
    const archive = tarOf(
      { name: "there", type: "5", mode: 0o755 },
      { name: "there/file", mode: 0o640, content: NEW },
      { name: "there/same", type: "1", link: "there/file" },
      { name: "there/link", type: "2", link: "file" },
      { name: "there/new", type: "5", mode: 0o1710 },
      ...SIZES.map((size) => ({ name: `there/of-${size}`, content: Buffer.alloc(size, "x") })),
      { name: `there/new/${"n".repeat(150)}`, content: NEW, ...(isRoot() && { owner: OTHER }) },
    )
    const { value, err } = await write(host, archive, `path=${folder}`)
    must(value === 0, `a write ended with ${value}: ${err}`)
    const file = join(folder, "there", "file")
    must((await readFile(file)).equals(NEW), "the file has other content")
    const { mode, mtimeMs } = await lstat(file)
    must((mode & 0o7777) === 0o640 && mtimeMs === 1_000_000_000_000, "the file has another mode or time")
    must((await readlink(join(folder, "there", "link"))) === "file", "the link leads elsewhere")
    const [one, same] = await Promise.all(["file", "same"].map((name) => lstat(join(folder, "there", name))))
    must(one?.ino === same?.ino, "another name of a file is another file")
    const made = await lstat(join(folder, "there", "new"))
    must((made.mode & 0o7777) === 0o1710, "a folder has another mode")
    for (const size of SIZES)
      must(
        (await lstat(join(folder, "there", `of-${size}`))).size === size,
        `a file of ${size} bytes has others`,
      )
    must(made.mtimeMs === 1_000_000_000_000, "a folder has another time")
    const { uid, gid } = await lstat(join(folder, "there", "new", "n".repeat(150)))
    must(
      !isRoot() || (uid === OTHER[0] && gid === OTHER[1]),
      `a file of ${OTHER.join(":")} is ${uid}:${gid}'s`,
    )
    must((await readFile(join(folder, "there", "kept"), "utf8")) === "kept", "what was in the folder is gone")
    const nowhere = await write(host, archive, `path=${folder}/no/such/folder`)
    must(nowhere.value !== 0 && nowhere.err !== "", "it wrote into a folder that is not there")
  }),
  hostPlan("write-under-another-name", ["OVMS-AGT-062"], async ({ host, folder }) => {
    const archive = tarOf({ name: "first", type: "5", mode: 0o755 }, { name: "first/file", content: NEW })
    await write(host, archive, `path=${folder}/second`, "rename")
    must(
      (await readFile(join(folder, "second/file"))).equals(NEW),
      "what came is not under the path's last name",
    )
    await write(host, archive, `path=${folder}/second`, "rename")
    must(
      await exists(join(folder, "second/first/file")),
      "into a folder that is there it did not go by its own name",
    )
  }),
  hostPlan("write-refused", ["OVMS-AGT-063", "OVMS-AGT-064"], async ({ host, folder }) => {
    const inside = join(folder, "inside")
    await mkdir(inside)
    await symlink(folder, join(inside, "out"))
    await writeFile(join(folder, "outside"), "as it was")
    await symlink("../outside", join(inside, "away"))
    await write(host, tarOf({ name: "away", content: NEW }), `path=${inside}`)
    must((await readFile(join(folder, "outside"), "utf8")) === "as it was", "it wrote where a link leads")
    await writeFile(join(inside, "old"), "as it was")
    const socket = createServer().unref().listen(join(inside, "socket"))
    await once(socket, "listening")
    const whole = tarOf({ name: "old", content: Buffer.alloc(3000, "x") })
    const wrong = {
      "a path that leads out": tarOf({ name: "../escaped", content: NEW }),
      "a path through a link": tarOf({ name: "out/escaped", content: NEW }),
      "a path through a link of its own": tarOf(
        { name: "l", type: "2", link: ".." },
        { name: "l/escaped", content: NEW },
      ),
      "another name of what is outside": tarOf({ name: "linked", type: "1", link: "../outside" }),
      "a file in the place of a socket": tarOf({ name: "socket", content: NEW }),
      "a device": tarOf({ name: "device", type: "3" }),
      "an archive that ends before its end": whole.subarray(0, 2048),
      "an archive without its end": tarOf({ name: "new", content: NEW }).subarray(0, 1024),
    }
    for (const [what, archive] of Object.entries(wrong)) {
      const { value, err } = await write(host, archive, `path=${inside}`)
      must(value !== 0 && err !== "", `it took ${what}`)
      must(
        !(await exists(join(folder, "escaped"))) && !(await exists(join(inside, "device"))),
        `${what} was made`,
      )
      must(
        (await readFile(join(inside, "old"), "utf8")) === "as it was",
        "a file that was not replaced whole is another",
      )
      must((await lstat(join(inside, "socket"))).isSocket(), "a file has taken the place of a socket")
    }
    socket.close()
  }),
  hostPlan("write-ended", ["OVMS-AGT-138"], async ({ host, folder }) => {
    if (!(await knowsNameless(folder))) skip("the file system of the suite has no files without a name")
    const inside = join(folder, "ended")
    await mkdir(inside)
    const stream = host.open("write", `path=${inside}`)
    const archive = tarOf({ name: "file", content: Buffer.alloc(300_000, "x") })
    const granted = () =>
      host.of(stream, TYPE.credit).reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0)
    // More than its pipe holds: some of it was taken.
    for (let at = 0; at < 200_000; at += 32_768) {
      await host.until("it grants what was taken", () => 65_536 + granted() >= at + 32_768)
      host.say(TYPE.data, stream, archive.subarray(at, at + 32_768))
    }
    host.say(TYPE.close, stream)
    await host.exit(stream)
    const left = await readdir(inside)
    must(left.length === 0, `of a file that was not whole there is ${left.join(", ")}`)
  }),
]

/** Whether a file system has files without a name (open(2), O_TMPFILE). */
async function knowsNameless(folder: string): Promise<boolean> {
  const file = await open(folder, O_TMPFILE | constants.O_WRONLY, 0o600).catch(() => undefined)
  await file?.close()
  return file !== undefined
}
