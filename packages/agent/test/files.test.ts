import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { StreamInput } from "../../ovm/src/content/archive/input.ts"
import { tarMember } from "../../ovm/src/content/archive/member.ts"
import { padding, readTar, TAR_END } from "../../ovm/src/content/archive/tar.ts"
import { through, Workshop } from "./agent.testing.ts"

// Files in and out, by the agent's own archives: a stranger may have made what goes in.

setDefaultTimeout(120_000)
const workshop = new Workshop()
afterAll(() => workshop[Symbol.dispose]())

const place = (name: string) => {
  const path = join(workshop.root, name)
  mkdirSync(path, { recursive: true })
  return path
}
const file = (name: string, content: string | Uint8Array = "text", mode = 0o644) => {
  const bytes = Buffer.from(content as string)
  return [tarMember(name, bytes.length, { mode, time: 1000 }), bytes, new Uint8Array(padding(bytes.length))]
}
const whole = (...entries: readonly Uint8Array[][]) => Buffer.concat([...entries.flat(), TAR_END])

async function put(path: string, archive: Uint8Array, ...more: string[]) {
  const { session, ended } = await workshop.session()
  const stream = session.do(["write", `path=${path}`, ...more])
  const said = through(stream)
  await stream.write(archive)
  await stream.end()
  const { ending, err } = await said
  session.close()
  expect((await ended).said).toBe("")
  return { ending, err }
}

/** What is at a path, as tar. */
async function got(path: string): Promise<{ archive: Buffer; err: string; status: unknown }> {
  const { session, ended } = await workshop.session()
  const stream = session.do(["read", `path=${path}`])
  const pieces: Uint8Array[] = []
  let err = ""
  for await (const { channel, bytes } of stream.output())
    if (channel === "stdout") pieces.push(bytes)
    else err += Buffer.from(bytes)
  const status = await stream.ending
  session.close()
  expect((await ended).said).toBe("")
  return { archive: Buffer.concat(pieces), err, status }
}

test("a tree comes out as it is and goes in as it was: bytes, permissions, times, links, long names [OVMS-AGT-060, OVMS-AGT-061]", async () => {
  const from = place("from")
  const deep = join(from, "d".repeat(120), "e".repeat(120))
  mkdirSync(deep, { recursive: true })
  const bytes = Buffer.alloc(1_000_003, "some bytes of a file ")
  writeFileSync(join(deep, "big"), bytes)
  writeFileSync(join(from, "run"), "#!/bin/sh\n")
  chmodSync(join(from, "run"), 0o4751)
  utimesSync(join(from, "run"), 12345, 12345)
  symlinkSync(`/nowhere/${"l".repeat(150)}`, join(from, "link"))
  writeFileSync(join(from, "empty"), "")
  const { archive, status } = await got(from)
  expect(status).toEqual({ status: 0 })
  // As the others' tar reads it.
  const listed = Bun.spawnSync(["tar", "tf", "-"], { stdin: archive }).stdout.toString().trim().split("\n")
  expect(listed.sort()).toContain(`from/${"d".repeat(120)}/${"e".repeat(120)}/big`)
  const to = place("to")
  expect(await put(to, archive)).toEqual({ ending: { status: 0 }, err: "" })
  expect(readFileSync(join(to, "from", "d".repeat(120), "e".repeat(120), "big"))).toEqual(bytes)
  const ran = statSync(join(to, "from/run"))
  expect([ran.mode & 0o7777, ran.mtimeMs]).toEqual([0o4751, 12345_000])
  expect(Bun.spawnSync(["diff", "-r", "--no-dereference", from, join(to, "from")]).exitCode).toBe(0)
  // And theirs, with a hard link in it.
  const theirs = Bun.spawnSync(["sh", "-c", `cd ${from} && ln run hard && tar cf - .`]).stdout
  const there = place("theirs")
  const before = statSync(there).mode
  expect((await put(there, theirs)).ending).toEqual({ status: 0 })
  expect(statSync(join(there, "hard")).ino).toBe(statSync(join(there, "run")).ino)
  expect(statSync(there).mode).toBe(before)
})

test("what is put is called as it is asked for, where there is no folder of that name [OVMS-AGT-062]", async () => {
  const to = place("names")
  expect((await put(join(to, "new"), whole(file("a", "one")), "rename")).ending).toEqual({ status: 0 })
  expect(readFileSync(join(to, "new"), "utf8")).toBe("one")
  await put(join(to, "tree"), whole([tarMember("t/", 0, {})], file("t/f")), "rename")
  expect(readdirSync(join(to, "tree"))).toEqual(["f"])
  await put(to, whole(file("a")), "rename")
  expect(existsSync(join(to, "a"))).toBe(true)
  for (const path of [join(to, "no"), join(to, "no/where/"), join(to, "new/x")])
    expect(await put(path, whole(file("a")))).toMatchObject({
      ending: { status: 1 },
      err: expect.stringMatching(/no.* folder/),
    })
  expect(await got(join(to, "nothing"))).toMatchObject({
    status: { status: 1 },
    err: expect.stringContaining("nothing"),
  })
})

test("no path leads out, no link is followed, no device is made, and what was there stays whole [OVMS-AGT-063]", async () => {
  const to = place("hostile")
  const outside = place("outside")
  const link = (name: string, target: string) => [tarMember(name, 0, { type: "2", link: target })]
  const refused: readonly (readonly [string, Uint8Array[][]])[] = [
    ["leads out", [file("../out")]],
    ["leads out", [file("/etc/out")]],
    ["leads out", [file("a/../../out")]],
    ["leads through", [link("l", outside), file("l/out")]],
    ["leads out", [[tarMember("h", 0, { type: "1", link: "../../outside/secret" })]]],
    ["neither", [[tarMember("null", 0, { type: "3" })]]],
    ["neither", [[tarMember("fifo", 0, { type: "6" })]]],
    ["no folder", [file("f"), [tarMember("f/", 0, {})]]],
    ["no name", [file(".")]],
  ]
  for (const [why, entries] of refused)
    expect(await put(to, whole(...entries))).toMatchObject({
      ending: { status: 1 },
      err: expect.stringContaining(why),
    })
  expect(readdirSync(outside)).toEqual([])
  Bun.spawnSync(["mkfifo", join(to, "pipe")])
  for (const entry of [file("pipe"), link("pipe", outside)])
    expect(await put(to, whole(entry))).toMatchObject({
      ending: { status: 1 },
      err: expect.stringContaining("pipe or socket in its place"),
    })
  expect(lstatSync(join(to, "pipe")).isFIFO()).toBe(true)
  // Cut short, and too large for what there is: the old file is as it was, and nothing is left beside.
  writeFileSync(join(to, "kept"), "as it was")
  const cut = Buffer.concat([tarMember("kept", 5000, {}), Buffer.alloc(100)])
  expect(await put(to, cut)).toMatchObject({
    ending: { status: 1 },
    err: expect.stringContaining("cut short"),
  })
  expect(await put(to, Buffer.concat(file("g")))).toMatchObject({ ending: { status: 1 } })
  expect(readFileSync(join(to, "kept"), "utf8")).toBe("as it was")
  expect(readdirSync(to).filter((name) => name.startsWith(".ovm-"))).toEqual([])
})

test("a disk that is full is said, and the file that was there is as it was [OVMS-AGT-063]", async () => {
  const small = place("small")
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "small", small])
  if (mounted.exitCode !== 0) return console.log("SKIP a full disk: no tmpfs may be mounted here")
  try {
    writeFileSync(join(small, "f"), "as it was")
    const { ending, err } = await put(small, whole(file("f", Buffer.alloc(200_000))))
    expect(ending).toEqual({ status: 1 })
    expect(err).toContain("No space left")
    expect(readdirSync(small)).toEqual(["f"])
    expect(readFileSync(join(small, "f"), "utf8")).toBe("as it was")
  } finally {
    Bun.spawnSync(["umount", small])
  }
})

test("two at once to one place: it has one of them whole [OVMS-AGT-063]", async () => {
  const to = place("twice")
  const contents = ["a", "b"].map((letter) => Buffer.alloc(600_000, letter))
  await Promise.all(contents.map((bytes) => put(to, whole(file("f", bytes)))))
  const kept = readFileSync(join(to, "f"))
  expect(contents.some((bytes) => bytes.equals(kept))).toBe(true)
  expect(readdirSync(to)).toEqual(["f"])
})

test("one that is ended in the middle of a file leaves nothing of it [OVMS-AGT-138]", async () => {
  const to = place("ended")
  const { session, pid } = await workshop.session()
  const stream = session.do(["write", `path=${to}`])
  await stream.write(Buffer.concat([tarMember("f", 3_000_000, {}), Buffer.alloc(1_000_000)]))
  const child = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
  const written = async () =>
    /^write_bytes: [1-9]|^wchar: [1-9]\d{4}/m.test(readFileSync(`/proc/${child}/io`, "utf8"))
  await until("some of it is written", written)
  await stream.close()
  expect(await stream.ending).toEqual({ signal: 9 })
  expect(readdirSync(to)).toEqual([])
  session.close()
})

test("archives that are damaged in every way end in words or in files, never in a fault of memory", async () => {
  const to = place("fuzz")
  const long = `${"n".repeat(150)}/${"m".repeat(90)}`
  const good = whole(
    file("a", "x".repeat(700)),
    file(long),
    [tarMember("d/", 0, {})],
    [tarMember("l", 0, { type: "2", link: "k".repeat(130) })],
  )
  let seed = 11
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
    return (seed >> 8) % below
  }
  const { session, ended } = await workshop.session()
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(good)
    for (let count = 1 + random(6); count > 0; count--) bytes[random(bytes.length)] = random(256)
    // So that it is read further than to the first checksum.
    for (let at = 0; at + 512 <= bytes.length; at += 512) {
      if (bytes.toString("latin1", at + 257, at + 262) !== "ustar") continue
      bytes.fill(0x20, at + 148, at + 156)
      const sum = bytes.subarray(at, at + 512).reduce((all, byte) => all + byte, 0)
      bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, "latin1")
    }
    const stream = session.do(["write", `path=${to}`])
    const said = through(stream)
    await stream.write(bytes.subarray(0, random(8) === 0 ? random(bytes.length) : bytes.length))
    await stream.end()
    const { ending, err } = await said
    expect(err).not.toMatch(/Sanitizer|runtime error/)
    expect(ending).toEqual({ status: err === "" ? 0 : 1 })
  }
  session.close()
  expect(await ended).toEqual({ code: 0, said: "" })
})

test("what the kernel makes up comes with as much as it says", async () => {
  for (const [path, words] of [
    ["/proc/self/status", "Name:"],
    ["/sys/kernel/profiling", "0"],
  ] as const) {
    if (!existsSync(path)) continue
    const { archive, status } = await got(path)
    expect(status).toEqual({ status: 0 })
    expect(Bun.spawnSync(["tar", "xOf", "-"], { stdin: archive }).stdout.toString()).toContain(words)
  }
})

test("all that was sent is read again by this host's own reader", async () => {
  const from = place("own")
  writeFileSync(join(from, "x".repeat(180)), "long")
  const { archive } = await got(`${from}/`)
  async function* bytes() {
    yield archive
  }
  const names: string[] = []
  for await (const { name } of readTar(new StreamInput(bytes()), "own")) names.push(name)
  expect(names).toEqual(["own", `own/${"x".repeat(180)}`])
})
