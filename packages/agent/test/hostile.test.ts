import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { frameOf, number, TYPE } from "../../ovm/src/guest/agent/frame.ts"
import { OwnSession } from "../../ovm/src/guest/agent/session.ts"
import { data, exit, Impostors } from "./impostor.testing.ts"

setDefaultTimeout(60_000)

// A guest may put any program in the agent's place, which says what it likes (OVMS-AGT-014, OVMS-AGT-042).

const impostors = new Impostors()
afterAll(() => impostors[Symbol.dispose]())

async function liar(...answers: Parameters<Impostors["connect"]>) {
  return await OwnSession.open(await impostors.connect(...answers), AbortSignal.timeout(3000))
}

test("what it may not say ends the conversation, and all that was under way", async () => {
  const damaged = (stream: number) => {
    const frame = data(stream, Buffer.from("x"))
    frame[16] = 9
    return frame
  }
  const long = frameOf(TYPE.data, 1, Buffer.alloc(1))
  long.writeUInt32LE(0x7fffffff, 8)
  const lies: readonly [string, (stream: number) => readonly Uint8Array[]][] = [
    ["granted", (stream) => Array.from({ length: 9 }, () => data(stream, Buffer.alloc(60_000)))],
    ["credit", (stream) => [frameOf(TYPE.credit, stream, number(1))]],
    ["damaged", (stream) => [damaged(stream)]],
    ["frame of 2147483647 bytes", () => [long]],
    ["type 99", (stream) => [frameOf(99, stream)]],
    ["granted", (stream) => [frameOf(TYPE.data, stream)]],
    ["4 bytes", (stream) => [frameOf(TYPE.exit, stream, number(0))]],
    ["begun anew", () => [frameOf(TYPE.restarted, 0)]],
  ]
  for (const [why, then] of lies) {
    const session = await liar(then)
    const stream = session?.do(["exec", "argument=true"])
    expect(await session?.closed).toContain(why)
    expect(await stream?.ending.catch(({ code }) => code)).toBe("OVM_AGENT_UNAVAILABLE")
    expect(() => session?.do(["exec"])).toThrow("any more")
  }
})

test("what was not asked for, or comes twice, is passed over; what it says is bounded", async () => {
  const session = await liar((stream) => [
    data(stream + 7, Buffer.from("nobody's")),
    exit(stream + 9),
    frameOf(TYPE.pong, 0),
    exit(stream, 2, 5, "w".repeat(60_000)),
    exit(stream, 0, 0),
    data(stream, Buffer.from("late")),
  ])
  const stream = session?.do(["exec", "argument=true"])
  expect(await stream?.ending).toEqual({ refused: "w".repeat(4096) })
  const again = session?.do(["exec", "argument=true"])
  expect(await again?.ending).toHaveProperty("refused")
  session?.close()
})

test("statuses and signals are numbers that there are", async () => {
  const session = await liar((stream) => [
    stream % 2 ? exit(stream, 0, 0xffffffff) : exit(stream, 1, 0xffffffff),
  ])
  expect(await session?.do(["exec"]).ending).toEqual({ status: 255 })
  expect(await session?.do(["exec"]).ending).toEqual({ signal: 127 })
  session?.close()
})

test("who answers with another nonce, or only makes noise, has not answered", async () => {
  const noise = Buffer.alloc(3_000_000, "OVMAGNT1 noise ")
  expect(
    await liar(
      () => [],
      () => [frameOf(TYPE.welcome, 0, Buffer.alloc(16, 7)), noise],
    ),
  ).toBeUndefined()
  const late = await liar(
    (stream) => [exit(stream, 0, 3)],
    (welcome) => [noise.subarray(0, 100_000), welcome],
  )
  expect(await late?.do(["exec"]).ending).toEqual({ status: 3 })
  late?.close()
})

test("one that says nothing is known by that [OVMS-AGT-037]", async () => {
  const session = await liar(() => [])
  expect(await session?.answers(200)).toBe(false)
  session?.close()
  expect(await session?.answers(200)).toBe(false)
})
