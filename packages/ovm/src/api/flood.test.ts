import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { createConnection, type Socket } from "node:net"
import { join } from "node:path"
import { rawRequest } from "@ovms/testkit/raw-http.ts"
import { until } from "@ovms/testkit/until.ts"
import { openImages } from "../images/images.ts"
import { LocalRuntime } from "../runtime/local.ts"
import { Policy } from "../signing/policy/policy.ts"
import { type Server, serve } from "./server.ts"

// Small numbers stand for large ones: the limits are a parameter.
const LIMITS = { connections: 40, requestMs: 1500, stalledMs: 1500, waiting: 10 }

setDefaultTimeout(240_000)

let root: string
let socket: string
let runtime: LocalRuntime
let server: Server
const open: Socket[] = []

beforeAll(async () => {
  root = await mkdtemp("/tmp/ovm-flood-")
  socket = join(root, "ovm.sock")
  const images = await openImages(join(root, "store"), join(root, "derived"), new Policy(join(root, "none")))
  runtime = await LocalRuntime.open({ version: "test", root, instances: join(root, "i"), images, vmms: [] })
  server = await serve(runtime, socket, { limits: LIMITS })
})

afterAll(async () => {
  await server.close()
  await runtime.close()
  await rm(root, { recursive: true })
})

function connection(text = ""): Socket {
  const made = createConnection(socket)
  made.on("error", () => {})
  made.on("data", () => {})
  if (text) made.write(text)
  open.push(made)
  return made
}

const health = async () =>
  (await rawRequest(socket, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")).status

const start = (manifest: string) => {
  const body = JSON.stringify({ manifest })
  const length = Buffer.byteLength(body)
  return rawRequest(
    socket,
    `POST /start HTTP/1.1\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n${body}`,
  )
}

// OVMS-LIM-021
test("a connection that asks for nothing, or for ever, is cut off; meanwhile others are answered", async () => {
  const heads = [
    "",
    "GET /heal",
    "POST /start HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
    "POST /start HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "POST /start HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
  ]
  const idle = heads.map((head) => connection(head))
  const slow = ["GET /health HTTP/1.1\r\nX-A: ", heads[2] ?? ""].map((head) => connection(head))
  const dripping = setInterval(() => {
    for (const one of slow) if (one.writable) one.write("a")
  }, 100)
  expect(await health()).toBe(200)
  for (const one of [...idle, ...slow])
    await until(`${[...idle, ...slow].indexOf(one)} is cut off`, () => one.closed, {
      is: (closed) => closed,
      deadlineMs: 10_000,
    })
  clearInterval(dripping)
  expect(await health()).toBe(200)
})

// OVMS-LIM-023
test("who has more requests wait than may is cut off, and not who takes the answers to as many", async () => {
  const question = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
  const patient = createConnection(socket)
  let taken = ""
  patient.on("data", (bytes) => {
    taken += bytes
  })
  for (let asked = LIMITS.waiting; asked <= 5 * LIMITS.waiting; asked += LIMITS.waiting) {
    patient.write(question.repeat(LIMITS.waiting))
    await until("they are answered", () => taken.match(/HTTP\/1\.1 200/g)?.length === asked)
  }
  expect(patient.closed).toBe(false)
  patient.destroy()
  const flood = connection(question.repeat(100 * LIMITS.waiting))
  let answered = 0
  flood.on("data", (bytes) => {
    answered += bytes.toString().split("HTTP/1.1 200").length - 1
  })
  await until("the one that floods is cut off", () => flood.closed)
  expect(answered).toBeLessThan(50 * LIMITS.waiting)
  expect(await health()).toBe(200)
})

// OVMS-LIM-020
test("above the limit of connections, who asks is refused in words; when they have gone, it is answered", async () => {
  const many = Array.from({ length: LIMITS.connections + 1 }, () => connection())
  const refused = await until(
    "the limit is reached",
    () => rawRequest(socket, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"),
    {
      is: ({ status }) => status === 429,
    },
  )
  expect(JSON.parse(refused.body.toString()).errors[0]).toMatchObject({
    code: "OVM_TOO_MANY",
    message: expect.stringContaining(`${LIMITS.connections} connections`),
  })
  const more = Array.from({ length: 2 * LIMITS.connections }, () => connection())
  await until("those above twice as many are cut at once", () => more.some((one) => one.closed), {
    is: (some) => some,
  })
  for (const one of [...many, ...more]) one.destroy()
  await until("there is room again", health, { is: (status) => status === 200 })
})

// OVMS-LIM-020
test("who leaves in the middle of a request gives its connection back", async () => {
  for (let count = 0; count < 3 * LIMITS.connections; count++) {
    const one = connection("POST /start HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await new Promise((resolve) => one.once("connect", resolve))
    if (count % 2 === 0) one.destroy()
    else one.end()
    await new Promise((resolve) => one.once("close", resolve))
  }
  expect(await health()).toBe(200)
})

// OVMS-LIM-010
test("a body that does not end is refused, and what comes after that is let past", async () => {
  const before = process.memoryUsage().rss
  const piece = Buffer.alloc(1 << 20, 0x7b)
  const senders = Array.from({ length: 8 }, async () => {
    const one = connection("POST /start HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
    for (let sent = 0; sent < 64 && one.writable; sent++)
      if (!one.write(piece))
        await Promise.race([new Promise((resolve) => one.once("drain", resolve)), Bun.sleep(1000)])
    one.destroy()
  })
  expect(await health()).toBe(200)
  await Promise.all(senders)
  const refused = await rawRequest(
    socket,
    `POST /start HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n${"{".repeat(100_000)}`,
  )
  expect(refused.status).toBe(413)
  // All of it would be 512 MiB.
  expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20)
})

// OVMS-SEC-045, OVMS-SEC-046, OVMS-SEC-047, OVMS-SEC-048, OVMS-API-160
test("a path to what hangs, never ends or cannot be opened is refused by its name, and stops nobody", async () => {
  const at = (name: string) => join(root, name)
  const layout = async (name: string) => {
    await mkdir(join(at(name), "blobs", "sha256"), { recursive: true })
    await writeFile(join(at(name), "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
    return at(name)
  }
  const manifest = `sha256:${"0".repeat(64)}`
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json", digest: manifest, size: 0 }],
  }
  execFileSync("mkfifo", [at("fifo")])
  const hanging = await layout("hanging")
  execFileSync("mkfifo", [join(hanging, "index.json")])
  const linked = await layout("linked")
  await symlink("../fifo", join(linked, "index.json"))
  const blob = await layout("blob")
  await writeFile(join(blob, "index.json"), JSON.stringify(index))
  await symlink(at("fifo"), join(blob, "blobs", "sha256", "0".repeat(64)))
  const endless = await layout("endless")
  await symlink("/proc/self/pagemap", join(endless, "index.json"))
  const junk = await layout("junk")
  await writeFile(join(junk, "index.json"), "{")
  const marker = at("marker")
  await mkdir(marker)
  execFileSync("mkfifo", [join(marker, "oci-layout")])
  await symlink("loop", at("loop"))
  const paths = [
    hanging,
    linked,
    blob,
    endless,
    junk,
    marker,
    at("fifo"),
    at("loop"),
    `${at("fifo")}:tag`,
    socket,
    "/dev/zero",
    "/dev/stdin",
    "/dev/tty",
    "/proc/self/mem",
    "/proc/self/pagemap",
    "/proc/kmsg",
    "/proc/self/fd/0",
    `/${"x".repeat(4095)}`,
    `/${"x/".repeat(2047)}`,
    `${at("fifo")}/x`,
    "/",
    root,
    "/proc",
  ]
  for (const path of paths) {
    // Four at once: as many as there may be threads to open files.
    const answers = await Promise.all(Array.from({ length: 4 }, () => start(path)))
    for (const { status, body } of answers) {
      const [error] = JSON.parse(body.toString()).errors
      expect(`${path.slice(0, 80)} ${status} ${error.code}`).toMatch(
        / (404 OVM_FILE_UNREADABLE|422 OVM_(ARTIFACT|MANIFEST)_INVALID|422 OVM_TOO_LARGE)$/,
      )
      expect(error.message).toContain(path.slice(0, 60).replace(/:tag$/, ""))
    }
    expect(await health()).toBe(200)
  }
})
