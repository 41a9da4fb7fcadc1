import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { ifPresent } from "./present.ts"
import { openRegular, openRegularSync, readRegular, readRegularSync } from "./regular.ts"

setDefaultTimeout(240_000)

let root: string
const LIMIT = 1 << 16

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-regular-"))
  execFileSync("mkfifo", [join(root, "fifo")])
  await mkdir(join(root, "folder"))
  await writeFile(join(root, "file"), "content")
  await writeFile(join(root, "empty"), "")
  await symlink("fifo", join(root, "link-to-fifo"))
  await symlink("file", join(root, "link"))
  await symlink("loop", join(root, "loop"))
  await writeFile(join(root, "sparse"), "{")
  await truncate(join(root, "sparse"), 2 ** 40)
})

afterAll(() => rm(root, { recursive: true }))

/** How `path` is refused, which is the same read synchronously or not. */
async function refused(path: string): Promise<{ code: string; message: string }> {
  const { code, message } = await refusal(readRegular(path, LIMIT))
  const atOnce = await refusal(Promise.try(() => readRegularSync(path, LIMIT)))
  expect({ code: atOnce.code, message: atOnce.message } as object).toEqual({ code, message })
  return { code, message }
}

// OVMS-SEC-045, OVMS-SEC-046
test("what is no regular file is refused at once, by what it is", async () => {
  const socket = createServer().listen(join(root, "socket"))
  await new Promise((resolve) => socket.once("listening", resolve))
  const others: [path: string, what: string][] = [
    [join(root, "fifo"), "a named pipe"],
    [join(root, "link-to-fifo"), "a named pipe"],
    [join(root, "folder"), "a folder"],
    [join(root, "socket"), "a socket"],
    ["/dev/zero", "a device"],
    ["/dev/null", "a device"],
    [join(root, "loop"), "too many levels of symbolic links"],
    [join(root, "nothing"), "no such file"],
    [join(root, "file", "below"), "not a directory"],
    [join(root, "x".repeat(256)), "too long"],
    [`/${"x/".repeat(2050)}`, "too long"],
    ["/proc/self/mem", "/proc/self/mem"],
    ["/proc/self/maps", "not the size that it says"],
    ["/proc/self/pagemap", "/proc/self/pagemap"],
  ]
  for (const [path, what] of others) {
    const { code, message } = await refused(path)
    expect(`${code} ${message}`).toStartWith("OVM_FILE_UNREADABLE")
    expect(message).toContain(path)
    expect(message).toContain(what)
  }
  socket.close()
})

// OVMS-SEC-047
test("no more is read than the limit says, whatever the size", async () => {
  expect(await refused(join(root, "sparse"))).toMatchObject({ code: "OVM_TOO_LARGE" })
  expect((await refusal(readRegular(join(root, "file"), 6))).code).toBe("OVM_TOO_LARGE")
  expect(new TextDecoder().decode(await readRegular(join(root, "link"), 7))).toBe("content")
  expect(new TextDecoder().decode(readRegularSync(join(root, "link"), 7))).toBe("content")
  expect(await readRegular(join(root, "empty"), 0)).toHaveLength(0)
})

test("a file that is not there can be told from one of the wrong kind", async () => {
  expect(await ifPresent(readRegular(join(root, "nothing"), LIMIT))).toBeUndefined()
  expect((await refusal(ifPresent(readRegular(join(root, "fifo"), LIMIT)))).code).toBe("OVM_FILE_UNREADABLE")
})

// OVMS-SEC-048
test("a pipe with nobody at its other end stops no other opening", async () => {
  const many = Array.from({ length: 64 }, () => refusal(openRegular(join(root, "fifo"))))
  expect(new Set((await Promise.all(many)).map(({ code }) => code))).toEqual(new Set(["OVM_FILE_UNREADABLE"]))
  const file = await openRegular(join(root, "file"))
  await file.close()
})

test("nothing stays open", async () => {
  const lowest = async () => {
    const file = await open(join(root, "file"))
    await file.close()
    return file.fd
  }
  const before = await lowest()
  for (let round = 0; round < 20; round++) {
    await refusal(readRegular("/proc/self/maps", LIMIT))
    await refusal(Promise.try(() => openRegularSync(join(root, "fifo"))))
    await readRegular(join(root, "file"), LIMIT)
  }
  expect(await lowest()).toBe(before)
})
