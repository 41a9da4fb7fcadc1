import { afterAll, expect, test } from "bun:test"
import { OwnSession } from "../../ovm/src/guest/agent/session.ts"
import { Mounts } from "../../ovm/src/runtime/mounts.ts"
import { data, exit, Impostors } from "./impostor.testing.ts"

// What a host makes of the agents of several versions when it asks for a share.

const impostors = new Impostors()
afterAll(() => impostors[Symbol.dispose]())

const share = { source: "/of/host", target: "/srv", read_only: true, mounted: false }

/** What became of the share with an agent that answers so, and what that was asked. */
async function mounted(
  answer: (stream: number, texts: readonly string[]) => readonly Uint8Array[],
  served = true,
) {
  const asked: string[][] = []
  const channel = await impostors.connect((stream, texts) => {
    asked.push([...texts])
    return answer(stream, texts)
  })
  const session = (await OwnSession.open(channel)) as OwnSession
  const mounts = new Mounts({ shares: [share] }, served ? ["ovm.0"] : [])
  let failures = 0
  mounts.begin(session, false, () => failures++)
  await mounts.settled
  session.close()
  const [{ source: _, target: __, read_only: ___, ...made } = share] = mounts.shares
  return { made, asked, failures }
}

const [PLAIN, PREFERRED] = [
  ["mount", "tag=ovm.0", "path=/srv", "readonly"],
  ["mount", "tag=ovm.0", "path=/srv", "readonly", "virtiofs"],
]

test("an agent that knows no virtiofs is asked again without [OVMS-AGT-131]", async () => {
  const older = await mounted((stream, texts) =>
    texts.includes("virtiofs") ? [exit(stream, 2, 22, "not known here")] : [exit(stream)],
  )
  expect(older).toEqual({ made: { mounted: true, type: "9p" }, asked: [PREFERRED, PLAIN], failures: 0 })
  const refusing = await mounted((stream) => [exit(stream, 2, 22, "never")])
  expect(refusing.made).toEqual({ mounted: false, reason: "never" } as never)
  expect([refusing.asked, refusing.failures]).toEqual([[PREFERRED, PLAIN], 1])
})

test("what an agent says it is mounted by is one of two words, and believed only where it can be so [OVMS-AGT-132]", async () => {
  const saying = (words: string) => (stream: number) =>
    words === "" ? [exit(stream)] : [data(stream, Buffer.from(words)), exit(stream)]
  for (const [words, served, type] of [
    ["virtiofs\n", true, "virtiofs"],
    ["9p\n", true, "9p"],
    ["", true, "9p"],
    ["nfs\n", true, "9p"],
    ["virtiofs\n", false, "9p"],
  ] as const) {
    const { made, asked } = await mounted(saying(words), served)
    expect({ words, made }).toEqual({ words, made: { mounted: true, type } as never })
    expect(asked).toEqual([served ? PREFERRED : PLAIN])
  }
})
