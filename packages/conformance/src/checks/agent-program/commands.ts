import { readFile } from "node:fs/promises"
import { frameOf, number, TYPE } from "../../agent/frame.ts"
import { type Check, must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import { type Agent, type Host, shell } from "../../subject/agent.ts"
import { hostPlan, lives } from "./plan.ts"

const KILL = 9
const TERMINATE = 15
const USER_1 = 10
const OUTPUT_GRANTED = 262_144

/** A command that says the number of a process that it has started, and waits. */
const WITH_CHILD = shell("sleep 300 & echo $!; wait")

async function childOf(host: Host, stream: number): Promise<number> {
  return await host.until(
    "it says what it started",
    () => Number(/^(\d+)\n/.exec(host.output(stream).toString())?.[1]) || false,
  )
}

async function gone(pid: number, what: string): Promise<void> {
  const stat = (path: string) => readFile(path, "latin1")
  for (let tries = 0; await lives(pid, stat); tries++) {
    must(tries < 500, what)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** What a command has left in its pipe comes before its EXIT, as what was granted one after the other is added up. */
async function waitsForCredit(host: Host, channel: number, to: string): Promise<void> {
  const left = 60_000
  const stream = host.open("exec", ...shell(`head -c ${OUTPUT_GRANTED + left} /dev/zero${to}`))
  const came = () => host.output(stream, channel).length
  await host.until("all that was granted comes", () => came() >= OUTPUT_GRANTED)
  // By then it has ended: a pipe holds what is left.
  await host.run(...shell("sleep 0.2"))
  must(host.of(stream, TYPE.exit).length === 0, "EXIT comes before what the command has written")
  // At once, and neither of them is enough.
  const grants = [left - 1000, 2000].map((more) => frameOf(TYPE.credit, stream, number(more)))
  host.raw(Buffer.concat(grants))
  await host.exit(stream)
  must(came() === OUTPUT_GRANTED + left, `of what it wrote ${came()} bytes came`)
}

export const agentProgramPlans: readonly Check<Agent>[] = [
  hostPlan(
    "says-that-it-started",
    ["OVMS-AGT-015"],
    async ({ host }) => {
      await host.hello()
      const [first] = host.heard
      must(
        first?.type === TYPE.restarted && first.payload.length === 0,
        `the first frame is of type ${first?.type}`,
      )
    },
    false,
  ),
  hostPlan("welcome", ["OVMS-AGT-011", "OVMS-AGT-003"], async ({ host }) => {
    const said = (await host.hello()).toString().split("\0")
    must(said.includes("protocol=1"), `the texts of WELCOME are ${said.join(", ")}`)
    must(
      said.some((text) => text.startsWith("features=")),
      "it does not say its features",
    )
    host.say(TYPE.ping, 0, utf8("anything"))
    host.raw(Buffer.alloc(7))
    const stream = host.open("exec", ...shell("exit 3"))
    host.raw(Buffer.alloc(70_000))
    must((await host.exit(stream)).value === 3, "zero bytes between frames are not passed over")
    const pongs = host.of(0, TYPE.pong).map(({ payload }) => payload.toString())
    must(pongs.join() === "anything", `PING was answered with "${pongs.join()}"`)
  }),
  hostPlan("what-it-does-not-know", ["OVMS-AGT-133"], async ({ host }) => {
    for (const type of [TYPE.restarted + 1, 255]) host.say(type, 0, utf8("later"))
    must((await host.run(...shell("exit 3"))).value === 3, "frames of unknown types are not passed over")
    host.say(256, 0, utf8("later"))
    host.say(TYPE.ping, 0, utf8("deaf"))
    await host.hello()
    must(!host.of(0, TYPE.pong).length, "a type above 255 was taken for that of a frame")
  }),
  hostPlan("hello-kills", ["OVMS-AGT-012"], async ({ host }) => {
    const stream = host.open("exec", ...WITH_CHILD)
    const child = await childOf(host, stream)
    await host.hello()
    await gone(child, "at HELLO a process of an earlier stream goes on")
    must(host.of(stream, TYPE.exit).length === 0, "it tells of the end of a stream that it was to forget")
    const last = await childOf(host, host.open("exec", ...WITH_CHILD))
    host.leave()
    await gone(last, "a process goes on although the host has gone")
  }),
  hostPlan("what-is-no-frame", ["OVMS-AGT-013"], async ({ host }) => {
    const damaged = frameOf(TYPE.ping, 0, utf8("ping"))
    damaged.writeUInt8(damaged.readUInt8(17) ^ 1, 17)
    const later = frameOf(TYPE.hello, 0, utf8("OVMAGNT2"), Buffer.alloc(16))
    for (const bytes of [damaged, Buffer.alloc(100, 0xff), later]) {
      host.raw(bytes)
      const deaf = host.open("exec", ...shell("exit 0"))
      const heard = host.heard.length
      host.say(TYPE.ping, 0, utf8("deaf"))
      // By the next HELLO all is forgotten that it has not answered yet.
      await new Promise((resolve) => setTimeout(resolve, 100))
      await host.hello()
      must(host.of(deaf, TYPE.exit).length === 0, "after what is no frame it did what it was asked for")
      must(!host.of(0, TYPE.pong).length, "a frame that is damaged, or behind what is no frame, was answered")
      must(host.heard.length > heard, "it says nothing")
      must((await host.run(...shell("exit 4"))).value === 4, "after the next HELLO it does nothing")
    }
  }),
  hostPlan("what-it-cannot-do", ["OVMS-AGT-021", "OVMS-AGT-020"], async ({ host }) => {
    const other = host.open("exec", ...shell("read x; exit 6"), "input")
    for (const words of [
      ["nonsense"],
      ["exec"],
      ["exec", ...shell("true"), "surplus=1"],
      ["exec", ...shell("true"), "variable=without-a-value"],
      ["read", "path=etc/passwd"],
      ["reseed", "seed=xyz"],
      [],
    ]) {
      const { kind, words: why } = await host.exit(host.open(...words))
      must(
        kind === 2 && why.length > 0,
        `it refuses ${words.join(" ") || "nothing"} with kind ${kind} and "${why}"`,
      )
    }
    host.say(TYPE.data, other, utf8("\n"))
    must((await host.exit(other)).value === 6, "another stream did not go on")
  }),
  hostPlan("hundred-at-once", ["OVMS-AGT-022"], async ({ host }) => {
    const streams = Array.from({ length: 100 }, () =>
      host.open("exec", ...shell("echo up; read x; exit 5"), "input"),
    )
    await host.until("100 commands run at once", () =>
      streams.every((stream) => host.output(stream).length > 0),
    )
    for (const stream of streams) host.say(TYPE.data, stream, utf8("\n"))
    for (const stream of streams)
      must((await host.exit(stream)).value === 5, "one of 100 commands went wrong")
  }),
  hostPlan("output-and-errors", ["OVMS-AGT-030", "OVMS-AGT-034"], async ({ host }) => {
    const { out, err, kind, value } = await host.run(
      ...shell("echo a; echo b >&2; echo c; echo d >&2; exit 7"),
    )
    must(out === "a\nc\n" && err === "b\nd\n", `output is ${out}, errors are ${err}`)
    must(kind === 0 && value === 7, `it ended with kind ${kind} and ${value}`)
    for (const status of [128, 255]) {
      const end = await host.run(...shell(`exit ${status}`))
      must(end.kind === 0 && end.value === status, `a status of ${status} is kind ${end.kind}, ${end.value}`)
    }
    const killed = await host.run(...shell("kill -15 $$"))
    must(killed.kind === 1 && killed.value === TERMINATE, `a signal is kind ${killed.kind}, ${killed.value}`)
    const refused = await host.exit(host.open("exec"))
    must(refused.kind === 2, `what has not run is kind ${refused.kind}`)
    const terminal = await host.run(
      ...shell("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo e >&2"),
      "terminal=24x80",
    )
    must(
      terminal.out.replaceAll("\r", "") === "e\n" && terminal.err === "",
      "on a terminal not all of it is output",
    )
  }),
  hostPlan("signals", ["OVMS-AGT-033"], async ({ host }) => {
    const told = host.open("exec", ...WITH_CHILD)
    const child = await childOf(host, told)
    host.say(TYPE.signal, told, number(TERMINATE))
    const { kind, value } = await host.exit(told)
    must(kind === 1 && value === TERMINATE, `after a signal it ended with kind ${kind} and ${value}`)
    await gone(child, "a signal did not go to the whole process group")
    const traps = host.open("exec", ...shell("trap 'exit 9' USR1; echo up; read x; read x"), "input")
    await host.until("it waits", () => host.output(traps).length > 0)
    host.say(TYPE.signal, traps, number(USER_1))
    const own = await host.exit(traps)
    must(own.kind === 0 && own.value === 9, `another signal came as one of kind ${own.kind} and ${own.value}`)
    const closed = host.open("exec", ...shell("trap '' TERM INT HUP; sleep 300 & echo $!; wait"))
    const other = await childOf(host, closed)
    host.say(TYPE.close, closed)
    const end = await host.exit(closed)
    must(end.kind === 1 && end.value === KILL, `after CLOSE it ended with kind ${end.kind} and ${end.value}`)
    await gone(other, "CLOSE did not kill the whole process group")
  }),
  hostPlan("not-to-be-started", ["OVMS-AGT-036"], async ({ host, folder }) => {
    const cases: readonly (readonly [number, readonly string[]])[] = [
      [127, ["argument=/no/such/program"]],
      [127, ["argument=no-such-program"]],
      [126, [`argument=${folder}`]],
      [126, [...shell("true"), "directory=/no/such/folder"]],
      [126, [...shell("true"), "user=no-such-user"]],
      [126, [...shell("true"), "user=0:no-such-group"]],
    ]
    for (const [status, words] of cases) {
      const { kind, value, err } = await host.run(...words)
      must(
        kind === 0 && value === status,
        `${words.join(" ")} ended with kind ${kind} and ${value}, not ${status}`,
      )
      must(err.length > 0, `why ${words.join(" ")} cannot be started is not said`)
    }
  }),
  hostPlan("credit", ["OVMS-AGT-040", "OVMS-AGT-041", "OVMS-AGT-043", "OVMS-AGT-035"], async ({ host }) => {
    const stream = host.open("exec", ...shell("head -c 400000 /dev/zero"))
    await host.until("all that was granted comes", () => host.output(stream).length >= OUTPUT_GRANTED)
    must((await host.run(...shell("exit 2"))).value === 2, "a stream without credit holds another one up")
    must(
      host.output(stream).length === OUTPUT_GRANTED,
      `it sent ${host.output(stream).length} bytes ungranted`,
    )
    host.say(TYPE.credit, stream, number(OUTPUT_GRANTED))
    await host.exit(stream)
    must(host.output(stream).length === 400_000, "not all of the output came")
    const both = host.open("exec", ...shell("head -c 200000 /dev/zero >&2; head -c 200000 /dev/zero"))
    const all = () => host.output(both).length + host.output(both, 2).length
    await host.until("all that was granted comes", () => all() >= OUTPUT_GRANTED)
    must((await host.run(...shell("exit 2"))).value === 2, "a stream without credit holds another one up")
    must(all() === OUTPUT_GRANTED, `of output and errors it sent ${all()} bytes ungranted`)
    host.say(TYPE.credit, both, number(OUTPUT_GRANTED))
    await host.exit(both)
    for (const [channel, to] of [
      [1, ""],
      [2, " >&2"],
    ] as const)
      await waitsForCredit(host, channel, to)
    const reader = host.open("exec", ...shell("wc -c"), "input")
    const granted = () =>
      host.of(reader, TYPE.credit).reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0)
    host.say(TYPE.data, reader, Buffer.alloc(60_000))
    await host.until("it grants what the command has taken", () => granted() === 60_000)
    host.say(TYPE.end, reader)
    await host.exit(reader)
    must(Number(host.output(reader).toString()) === 60_000, "the command did not read what was sent")
  }),
]
