import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { until } from "@ovms/testkit/until.ts"
import { frameOf, TYPE } from "../../ovm/src/guest/agent/frame.ts"
import { OwnSession } from "../../ovm/src/guest/agent/session.ts"
import { command, through, Workshop } from "./agent.testing.ts"

setDefaultTimeout(120_000)
const workshop = new Workshop()
afterAll(() => workshop[Symbol.dispose]())

test("a command has its output, its errors and its status [OVMS-AGT-030, OVMS-AGT-034, OVMS-AGT-036]", async () => {
  const { session, ended } = await workshop.session()
  const said = await through(session.do(command("sh", "-c", "echo out; echo err >&2; exit 7")))
  expect(said).toEqual({ out: "out\n", err: "err\n", ending: { status: 7 } })
  expect(await through(session.do(command("sh", "-c", "kill -9 $$")))).toMatchObject({
    ending: { signal: 9 },
  })
  const missing = await through(session.do(command("/nowhere/at/all")))
  expect(missing).toMatchObject({ ending: { status: 127 }, err: expect.stringContaining("/nowhere/at/all") })
  expect(await through(session.do(command("/tmp")))).toMatchObject({ ending: { status: 126 } })
  expect(await session.answers(10_000)).toBe(true)
  session.close()
  expect(await ended).toEqual({ code: 0, said: "" })
})

test("environment, directory and user are as asked for [OVMS-AGT-031]", async () => {
  const { session } = await workshop.session()
  const asked = ["variable=NAME=a=b c", "directory=/usr", "user=65534:65533"]
  const { out, err } = await through(
    session.do([...command("sh", "-c", "echo $NAME; pwd; id -u; id -g; echo $GIVEN"), ...asked]),
  )
  expect({ out, err }).toEqual({ out: "a=b c\n/usr\n65534\n65533\n\n", err: "" })
  const nobody = await through(session.do([...command("true"), "user=nobody-of-this-name"]))
  expect(nobody).toMatchObject({
    ending: { status: 126 },
    err: expect.stringContaining("nobody-of-this-name"),
  })
  session.close()
})

test("what cannot be done is refused in words, and the rest goes on [OVMS-AGT-021]", async () => {
  const { session } = await workshop.session()
  for (const texts of [
    ["dance"],
    ["exec"],
    ["shutdown"],
    [...command("true"), "colour=red"],
    ["time", "time=soon"],
    // It serves no guest here, and mounts nothing.
    ["mount", "tag=ovm.0", "path=/mnt"],
    ["root"],
  ])
    expect((await through(session.do(texts))).ending).toEqual({ refused: expect.stringMatching(/\w/) })
  expect(() => session.do(command("x".repeat(70_000)))).toThrow("65536")
  expect(() => session.do(command("a\0b"))).toThrow("NUL")
  expect(await through(session.do(command("echo", "there")))).toMatchObject({ out: "there\n" })
  session.close()
})

test("input goes in as it is taken, and its end too [OVMS-AGT-040, OVMS-AGT-043]", async () => {
  const { session } = await workshop.session()
  const cat = session.do([...command("sha256sum"), "input"])
  const bytes = Buffer.alloc(3_000_001, "0123456789abcdef-")
  await cat.write(bytes)
  await cat.end()
  const { out } = await through(cat)
  expect(out).toBe(`${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  -\n`)
  // One that does not read takes no more than its window and its pipe, and one that has ended drops the rest.
  const deaf = session.do([...command("sleep", "1"), "input"])
  await deaf.write(bytes)
  expect((await through(deaf)).ending).toEqual({ status: 0 })
  session.close()
})

test("output waits for who does not read it, and holds up nobody else [OVMS-AGT-041]", async () => {
  const { session } = await workshop.session()
  const flood = session.do(command("sh", "-c", "head -c 20000000 /dev/zero; echo >&2 end"))
  await Bun.sleep(200)
  expect(await through(session.do(command("echo", "meanwhile")))).toMatchObject({ out: "meanwhile\n" })
  let size = 0
  for await (const { channel, bytes } of flood.output()) if (channel === "stdout") size += bytes.length
  expect(size).toBe(20_000_000)
  session.close()
})

test("what nobody reads any more comes to its end all the same, and leaves nothing [OVMS-AGT-137]", async () => {
  const { channel, session, pid } = await workshop.session()
  const open = () => readdirSync(`/proc/${pid}/fd`).length
  const before = open()
  let came = 0
  channel.on("data", (bytes) => {
    came += bytes.length
  })
  const [left, unread] = [session.do(command("yes")), session.do(command("yes"))]
  const reading = left.output()
  await reading.next()
  // All that was granted, and the pipes behind it are full.
  await until("both wait for credit", async () => came >= 2 * (256 << 10))
  await left.close()
  await reading.return(undefined)
  unread.leave()
  expect([await left.ending, await unread.ending]).toEqual([{ signal: 9 }, { signal: 9 }])
  expect([session.busy, open()]).toEqual([false, before])
  session.close()
})

test("input of several goes in one after the other, and who leaves holds up nobody [OVMS-API-326]", async () => {
  const { session } = await workshop.session()
  const cat = session.do([...command("cat"), "input"])
  const letters = ["a", "b", "c"].map((letter) => letter.repeat(300_000))
  const given = letters.map((text) => cat.write(Buffer.from(text)))
  const said = through(cat)
  await Promise.all(given)
  await cat.end()
  expect((await said).out === letters.join("")).toBe(true)
  const deaf = session.do([...command("sleep", "60"), "input"])
  const left = new AbortController()
  const [first, gone, last] = [undefined, left.signal, undefined].map((signal) =>
    deaf.write(Buffer.alloc(300_000), signal),
  )
  left.abort()
  await gone
  // All who still wait hear of its end.
  deaf.kill()
  await Promise.all([first, last])
  session.close()
})

test("a hundred at once, each with its own [OVMS-AGT-022]", async () => {
  const { session, pid } = await workshop.session()
  const all = Array.from({ length: 100 }, (_, index) =>
    through(session.do(command("sh", "-c", `sleep 0.3; echo ${index}`))),
  )
  expect((await Promise.all(all)).map(({ out }) => Number(out))).toEqual(all.map((_, index) => index))
  // Nothing is left of them.
  expect(readdirSync(`/proc/${pid}/fd`).length).toBeLessThan(12)
  session.close()
})

test("a terminal of a size, that changes, with signals of its keys [OVMS-AGT-032]", async () => {
  const { session } = await workshop.session()
  const shell = session.do([
    ...command("sh", "-c", "stty size; tty -s && echo tty; read _; stty size; sleep 60"),
    "terminal=33x99",
  ])
  let said = ""
  for await (const { bytes } of shell.output()) {
    said += Buffer.from(bytes)
    if (said.endsWith("tty\r\n")) {
      await shell.resize(44, 111)
      await shell.write(Buffer.from("\n"))
    }
    if (said.includes("44 111")) await shell.write(Buffer.of(3))
  }
  expect(said).toContain("33 99\r\ntty\r\n")
  expect(await shell.ending).toEqual({ signal: 2 })
  session.close()
})

test("signals reach the whole group, and closing kills it [OVMS-AGT-033]", async () => {
  const { session } = await workshop.session()
  const trapped = session.do(
    command("sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; sleep 60 & wait"),
  )
  let said = ""
  for await (const { bytes } of trapped.output()) {
    said += Buffer.from(bytes)
    if (said === "ready\n") await trapped.signal(15)
  }
  expect({ said, ending: await trapped.ending }).toEqual({ said: "ready\ncaught\n", ending: { status: 3 } })
  const stuck = session.do(command("sh", "-c", "trap '' TERM; sleep 60; sleep 60"))
  await stuck.close()
  expect((await through(stuck)).ending).toEqual({ signal: 9 })
  session.close()
})

test("a signal that comes while a command is begun is the command's [OVMS-AGT-033]", async () => {
  const agent = await workshop.session()
  for (const signal of [4, 7, 8, 11, 13, 15, 31]) {
    const stream = agent.session.do(command("sleep", "60"))
    await stream.signal(signal)
    expect((await through(stream)).ending).toEqual({ signal })
  }
  agent.session.close()
  expect(await agent.ended).toEqual({ code: 0, said: "" })
})

test("what goes on behind it does not keep a command from ending [OVMS-AGT-035]", async () => {
  const { session } = await workshop.session()
  const { out, err, ending } = await through(session.do(command("sh", "-c", "(setsid sleep 60 & echo $!)")))
  expect({ err, ending }).toEqual({ err: "", ending: { status: 0 } })
  // It is there still: nobody has waited for it.
  process.kill(Number(out), "SIGKILL")
  session.close()
})

test("a host that comes anew ends all that was, wherever it left off [OVMS-AGT-010, OVMS-AGT-012]", async () => {
  const { channel, session, pid } = await workshop.session()
  const left = session.do([...command("sh", "-c", "sleep 61; sleep 61"), "input"])
  await Bun.sleep(200)
  channel.removeAllListeners("data")
  // In the middle of a frame, whose rest is the next host's greeting.
  channel.write(frameOf(TYPE.data, left.id, Buffer.alloc(5000)).subarray(0, 100))
  const again = await OwnSession.open(channel)
  expect(await through(again?.do(command("echo", "anew")) as never)).toMatchObject({ out: "anew\n" })
  const children = async () => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
  await until("what was killed is gone", children, { is: (text) => text === "" })
  again?.close()
})

test("noise is passed over until a host is heard again [OVMS-AGT-013]", async () => {
  const { channel } = workshop.start()
  let seed = 7
  const noise = Buffer.alloc(300_000)
  for (let at = 0; at < noise.length; at++) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    noise[at] = seed >> 16
  }
  channel.write(noise)
  channel.write(Buffer.from("OVMAGNT1".repeat(100)))
  const session = await OwnSession.open(channel)
  expect(await through(session?.do(command("echo", "heard")) as never)).toMatchObject({ out: "heard\n" })
  session?.close()
})

test("the program that is shipped does the same, and is small", async () => {
  const shipped = Bun.file(`${import.meta.dir}/../dist/ovm-agent`)
  expect(shipped.size).toBeLessThanOrEqual(200 << 10)
})
