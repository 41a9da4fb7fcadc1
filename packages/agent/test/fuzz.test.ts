import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Duplex } from "node:stream"
import { compileChecked } from "@ovms/testkit/checked.ts"
import { Random } from "@ovms/testkit/random.ts"
import { FrameReader, frameOf, HEADER, MOST_PAYLOAD, number, TYPE } from "../../ovm/src/guest/agent/frame.ts"
import { OwnSession } from "../../ovm/src/guest/agent/session.ts"
import { SOURCES, Workshop } from "./agent.testing.ts"
import { Impostors } from "./impostor.testing.ts"

// Both sides of the protocol with what nobody would say. The seed is fixed: what fails, fails again. OVM_FUZZ_SEED and
// OVM_FUZZ_INPUTS try others.
const SEED = Number(process.env.OVM_FUZZ_SEED ?? 11)
const INPUTS = Number(process.env.OVM_FUZZ_INPUTS ?? 20_000)

setDefaultTimeout(240_000)
const workshop = new Workshop()
const impostors = new Impostors()
afterAll(() => {
  workshop[Symbol.dispose]()
  impostors[Symbol.dispose]()
})

/** Those that `make fuzz` found to reach something of their own, as files. */
function keptInputs(): string[] {
  const lines = readFileSync(join(import.meta.dir, "corpus.txt"), "latin1")
    .trim()
    .split("\n")
  return lines.map((line, at) => {
    const path = join(workshop.root, `kept-${at}`)
    writeFileSync(path, Buffer.from(line, "base64"))
    return path
  })
}

test("what the agent reads, of hosts and of strangers' archives, by the sanitizers", () => {
  const program = join(workshop.root, "fuzz")
  const kept = keptInputs()
  expect(kept.length).toBeGreaterThan(100)
  compileChecked(SOURCES, program, ["-D_GNU_SOURCE", "-Dmain=agent_main", join(import.meta.dir, "fuzz.c")])
  const said = execFileSync(program, [`${SEED}`, `${INPUTS}`, ...kept], { encoding: "utf8" })
  expect(said).toBe(`${INPUTS} inputs, ${kept.length} kept\n`)
})

function flip(frame: Buffer, random: Random): void {
  const at = random.below(frame.length)
  frame.writeUInt8(frame.readUInt8(at) ^ (1 << random.below(8)), at)
}

/** What is harmless wherever it runs: this agent has no guest. */
const KINDS = [
  "exec",
  "exec",
  "exec",
  "reseed",
  "freeze",
  "hooks",
  "mount",
  "console",
  "shutdown",
  "",
  "\u00ff",
]
const TEXTS = [
  ...[
    "argument=true",
    "argument=cat",
    "argument=yes",
    "argument=",
    "input",
    "terminal=24x80",
    "terminal=0x0",
  ],
  ...["variable=A=B", "variable=", "user=nobody", "directory=/nowhere", "seed=00ff", "seed=0", "seconds=61"],
  ...[
    "event=post-resume",
    "name=x",
    "tag=x",
    "path=/nowhere",
    "rename",
    "nonsense",
    "input",
    "argument=true",
  ],
]

/** `damage`: how often it is damaged or cut off; then all is passed over until the next HELLO. */
function messageOf(random: Random, damage: number): Buffer {
  const stream = random.below(40)
  const type = random.of(Object.values(TYPE))
  if (type === TYPE.hello && random.chance(0.95)) return messageOf(random, damage)
  const texts = () => [random.of(KINDS), ...Array.from({ length: random.below(6) }, () => random.of(TEXTS))]
  const payloads: Readonly<Record<number, () => Buffer>> = {
    [TYPE.hello]: () => Buffer.from("OVMAGNT1sixteen bytes of"),
    [TYPE.open]: () => Buffer.from(texts().join("\0") + (random.chance(0.95) ? "\0" : "")),
    [TYPE.signal]: () => number(random.below(random.chance(0.9) ? 66 : 2 ** 32)),
    [TYPE.credit]: () => number(random.below(2 ** 32)),
  }
  const payload = payloads[type]?.() ?? Buffer.alloc(random.below(random.chance(0.02) ? MOST_PAYLOAD : 40), 7)
  const frame = frameOf(type, type === TYPE.hello ? 0 : stream, payload)
  if (random.chance(damage)) flip(frame, random)
  return random.chance(damage) ? frame.subarray(0, random.below(frame.length)) : frame
}

test("an agent that hears nonsense is there for whoever comes next [OVMS-AGT-013, OVMS-AGT-021]", async () => {
  const agent = workshop.start()
  let exits = 0
  for (let round = 0; round < 10; round++) {
    const random = new Random(SEED + round)
    const said = Array.from({ length: 600 }, () => messageOf(random, round % 2 ? 0.01 : 0))
    for (const messages of [said, []]) {
      const nonce = randomBytes(16)
      const reader = new FrameReader(nonce)
      const welcome = Promise.withResolvers<void>()
      const listen = (bytes: Uint8Array) => {
        for (const { type } of reader.read(bytes)) {
          if (type === TYPE.welcome) welcome.resolve()
          if (type === TYPE.exit) exits++
        }
      }
      agent.channel.on("data", listen)
      const hello = frameOf(TYPE.hello, 0, Buffer.from("OVMAGNT1"), nonce)
      await tell(agent.channel, [new Uint8Array(HEADER + MOST_PAYLOAD), hello])
      await welcome.promise
      await tell(agent.channel, messages)
      // For what it says to that, if it has heard it.
      await Bun.sleep(messages.length === 0 ? 0 : 300)
      agent.channel.off("data", listen)
    }
  }
  // It has understood what could be.
  expect(exits).toBeGreaterThan(100)
  agent.channel.destroy()
  expect(await agent.ended).toEqual({ code: 0, said: "" })
})

async function tell(channel: Duplex, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) if (!channel.write(piece)) await once(channel, "drain")
}

test("a host that hears nonsense comes to an end of it, and keeps no more than it granted [OVMS-AGT-014, OVMS-AGT-042]", async () => {
  const ends = { gone: 0, answered: 0 }
  for (let round = 0; round < 300; round++) {
    const random = new Random(SEED * 1000 + round)
    const anything = (stream: number) => {
      const type = random.of([TYPE.data, TYPE.data, TYPE.exit, TYPE.credit, TYPE.pong, random.below(20)])
      const kind = number(random.below(4))
      const payload =
        type === TYPE.exit
          ? Buffer.concat([kind, number(random.below(300))])
          : Buffer.alloc(random.below(9000), 1)
      const frame = frameOf(type, random.chance(0.7) ? stream : random.below(5), payload)
      if (random.chance(0.02)) flip(frame, random)
      return frame
    }
    const then = (stream: number) => Array.from({ length: 1 + random.below(60) }, () => anything(stream))
    const session = await OwnSession.open(await impostors.connect(then))
    if (!session) throw new Error("it did not answer")
    const stream = session.do(["exec", "argument=true"])
    const ended = stream.ending.then(
      () => "answered" as const,
      () => "gone" as const,
    )
    // What comes is not read: it is kept, up to what was granted.
    const over = await Promise.race([ended, Bun.sleep(100)])
    if (!over) session.close()
    let kept = 0
    for await (const { bytes } of stream.output()) kept += bytes.length
    expect(kept).toBeLessThanOrEqual(256 << 10)
    ends[await ended]++
    session.close()
  }
  // Both happen, or nothing was tried.
  expect(ends.gone).toBeGreaterThan(20)
  expect(ends.answered).toBeGreaterThan(20)
})
