import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import { chmod, lstat, mkdir, mkdtemp, readlink, rm, stat, symlink, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { type Lock, lock } from "../host/lock.ts"
import { type Paths, paths } from "../host/paths.ts"
import { openImages } from "../images/images.ts"
import { LocalRuntime } from "../runtime/local.ts"
import { Policy } from "../signing/policy/policy.ts"
import { findRuntime } from "./find.ts"
import { type KeptSocket, keepSocket } from "./kept-socket.ts"
import { serve } from "./server.ts"

setDefaultTimeout(240_000)

let all: string
let folder: string
let place: Paths
const open: { close(): Promise<void> }[] = []

beforeAll(async () => {
  all = await mkdtemp(join(tmpdir(), "ovm-find-"))
})
beforeEach(async () => {
  folder = await mkdtemp(join(all, "x"))
  await mkdir(join(folder, "run"), { mode: 0o700 })
  place = placed("root", "run")
})
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})
afterAll(() => rm(all, { recursive: true }))

/** As somebody has it whose XDG_RUNTIME_DIR is `run`. */
function placed(root: string, run: string): Paths {
  const socket = join(folder, run, "ovm/ovm.sock")
  return { ...paths({ OVM_HOME: join(folder, root) }), socket }
}

/** What `ovm daemon` does, in this process. */
async function daemon(at: Paths): Promise<KeptSocket & { readonly told: string[] }> {
  await mkdir(at.root, { recursive: true, mode: 0o700 })
  const held: Lock = await lock(at.lock, "exclusive")
  const images = await openImages(at.store, at.cache, new Policy(at.policy))
  const runtime = await LocalRuntime.open({
    version: "test",
    root: at.root,
    instances: at.instances,
    images,
    vmms: [],
  })
  const told: string[] = []
  const kept = await keepSocket(
    at,
    (path) => serve(runtime, path),
    (path, error) => told.push(error?.message ?? path),
  )
  const close = async () => {
    await kept.close()
    await runtime.close()
    held.release()
  }
  open.push({ close })
  return {
    get socket() {
      return kept.socket
    },
    told,
    close,
  }
}

const rootOf = async (at: Paths) => (await (await findRuntime(at))?.health())?.root

// OVMS-API-001, OVMS-API-002, OVMS-API-150
test("the socket is where the environment has it, and its link in the root leads everybody there", async () => {
  expect(await findRuntime(place)).toBeUndefined()
  const { socket } = await daemon(place)
  expect(socket).toBe(place.socket)
  expect((await stat(socket)).mode & 0o777).toBe(0o600)
  expect((await stat(join(socket, ".."))).mode & 0o777).toBe(0o700)
  expect(await readlink(place.link)).toBe(socket)
  await mkdir(join(folder, "other"), { mode: 0o700 })
  for (const run of ["run", "other", "nowhere"]) expect(await rootOf(placed("root", run))).toBe(place.root)
  expect(await rootOf({ ...place, socket: place.link })).toBe(place.root)
})

test("nothing is left of a daemon that has ended", async () => {
  const one = await daemon(place)
  open.pop()
  await one.close()
  for (const path of [place.socket, place.link]) expect(await lstat(path).catch(() => "gone")).toBe("gone")
})

// OVMS-API-151
test.each([
  ["the socket", async () => rm(place.socket)],
  ["its folder", async () => rm(join(place.socket, ".."), { recursive: true })],
  ["the link", async () => rm(place.link)],
  ["both", async () => Promise.all([rm(place.socket), rm(place.link)])],
  ["the socket, by a file,", async () => rm(place.socket).then(() => writeFile(place.socket, "a file"))],
  ["the link, by a file,", async () => rm(place.link).then(() => writeFile(place.link, "a file"))],
])("%s that was taken away is made anew", async (_, take) => {
  await daemon(place)
  await take()
  expect(await rootOf(placed("root", "other"))).toBe(place.root)
  // Without the link too, by who has the same environment.
  while (!(await lstat(place.socket).catch(() => undefined))?.isSocket()) await Bun.sleep(20)
})

// OVMS-API-151
test("a follower of a daemon whose socket was taken away goes on", async () => {
  const { socket } = await daemon(place)
  const before = await findRuntime(place)
  const kept = await fetch("http://ovm/health", { unix: socket })
  await rm(socket)
  expect(await rootOf(place)).toBe(place.root)
  expect(await kept.json()).toMatchObject({ status: "ok" })
  expect(await before?.list()).toEqual([])
})

// OVMS-API-151, OVMS-API-152
test("where the folder of the user's session is gone, the socket is in the root", async () => {
  const kept = await daemon(place)
  await rm(join(folder, "run"), { recursive: true })
  expect(await rootOf(place)).toBe(place.root)
  expect(kept.socket).toBe(place.link)
  expect(kept.told).toEqual([place.link])
  expect((await lstat(place.link)).isSocket()).toBe(true)
})

// OVMS-API-152
test.each([
  ["is missing", async () => rm(join(folder, "run"), { recursive: true })],
  [
    "is a file",
    async () => rm(join(folder, "run"), { recursive: true }).then(() => writeFile(join(folder, "run"), "")),
  ],
  ["is everybody's", async () => chmod(join(folder, "run"), 0o777)],
  ["is its group's", async () => chmod(join(folder, "run"), 0o770)],
  [
    "has a link in the socket's place",
    async () => {
      await mkdir(join(folder, "theirs"))
      await symlink(join(folder, "theirs"), join(folder, "run/ovm"))
    },
  ],
  ["has a file in the socket's place", async () => writeFile(join(folder, "run/ovm"), "")],
  ["has a folder in the socket's place", async () => mkdir(place.socket, { recursive: true })],
])("a folder for sockets that %s is not used", async (_, spoil) => {
  await spoil()
  expect((await daemon(place)).socket).toBe(place.link)
  expect(await rootOf(place)).toBe(place.root)
})

// OVMS-API-150
test.each(["/dev/null", "/proc", "/nowhere"])(
  "who has %s for his folder of sockets finds it",
  async (folder) => {
    await daemon(place)
    expect(await rootOf({ ...place, socket: join(folder, "ovm/ovm.sock") })).toBe(place.root)
    expect(
      await findRuntime({ ...placed("second", "run"), socket: join(folder, "ovm/ovm.sock") }),
    ).toBeUndefined()
  },
)

// OVMS-API-003, OVMS-API-152
test("two roots with one place for sockets have a daemon each, and each is found by its own", async () => {
  const other = placed("second", "run")
  const [one, two] = [await daemon(place), await daemon(other)]
  expect([one.socket, two.socket]).toEqual([place.socket, other.link])
  expect([await rootOf(place), await rootOf(other)]).toEqual([place.root, other.root])
})

// OVMS-API-150
test("a link that a daemon left when it was killed leads nobody to another root's", async () => {
  const other = placed("second", "run")
  await daemon(other)
  await mkdir(place.root)
  await symlink(place.socket, place.link)
  expect(await findRuntime(place)).toBeUndefined()
  expect((await daemon(place)).socket).toBe(place.link)
  expect([await rootOf(place), await rootOf(other)]).toEqual([place.root, other.root])
})

test("a socket that a daemon left when it was killed is replaced", async () => {
  await mkdir(place.root, { mode: 0o700 })
  const killed = Bun.spawnSync([
    process.execPath,
    "-e",
    `require("net").createServer().listen(${JSON.stringify(place.link)}, () => process.kill(process.pid, "SIGKILL"))`,
  ])
  expect([killed.signalCode, (await lstat(place.link)).isSocket()]).toEqual(["SIGKILL", true])
  expect(await findRuntime(place)).toBeUndefined()
  await daemon({ ...place, socket: place.link })
  expect(await rootOf(place)).toBe(place.root)
})

test("a daemon of an earlier version, which made no link and does not say its root, is found where the environment has it", async () => {
  const { socket } = await daemon(place)
  const early = join(folder, "early.sock")
  const server = Bun.serve({
    unix: early,
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      if (pathname === "/health") return Response.json({ status: "ok" })
      return fetch(`http://ovm${pathname}`, { unix: socket })
    },
  })
  open.push({ close: () => server.stop(true) })
  const earlier = { ...place, socket: early, link: join(folder, "no-link") }
  expect((await (await findRuntime(earlier))?.info())?.root).toBe(place.root)
  const others = { ...placed("second", "run"), socket: early, link: join(folder, "no-link") }
  await mkdir(others.root)
  expect(await findRuntime(others)).toBeUndefined()
})

test("one that has the lock and never makes a socket is named with its pid", async () => {
  await mkdir(place.root)
  using _ = await lock(place.lock, "exclusive")
  const error = await refusal(findRuntime(place, { patienceMs: 100 }))
  expect([error.code, error.message]).toEqual(["OVM_DAEMON_UNREACHABLE", expect.stringContaining(place.root)])
  expect(error.message).toContain(`pid ${process.pid}`)
  expect(error.hint).toContain(`kill -9 ${process.pid}`)
})

test("one that takes connections and answers none is named with its pid", async () => {
  await mkdir(place.root)
  using _ = await lock(place.lock, "exclusive")
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(place.link, resolve))
  open.push({ close: async () => void silent.close() })
  const error = await refusal(findRuntime(place))
  expect([error.code, error.message]).toEqual([
    "OVM_DAEMON_UNREACHABLE",
    expect.stringContaining("did not answer"),
  ])
  expect(error.message).toContain(`pid ${process.pid}`)
})
