import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { channelIn } from "./agent.ts"
import { VSOCK_SOCKET } from "./vsock.ts"

const folder = mkdtempSync(join(tmpdir(), "ovm-vsock-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** What comes of a stream to a host's socket that answers so. */
async function through(answer: (socket: Socket, asked: string) => void, ms?: number) {
  await using server = createServer((socket) => socket.once("data", (bytes) => answer(socket, `${bytes}`)))
  await new Promise<void>((resolve) => server.listen(join(folder, VSOCK_SOCKET), resolve))
  const channel = await channelIn(folder, ms)
  if (!channel) return undefined
  let text = ""
  // As whoever speaks with an agent does.
  channel.on("data", (bytes) => {
    text += bytes
  })
  await new Promise((resolve) => channel.once("close", resolve))
  return text
}

test("what an agent says comes behind the answer, however it is cut (OVMS-AGT-004)", async () => {
  const pieces = [["OK 1073741824\nRESTARTED"], ["OK 1", "7\n", "RESTARTED"], ["OK 17\nREST", "ARTED"]]
  for (const all of pieces) {
    const said = await through(async (socket, asked) => {
      expect(asked).toBe("CONNECT 20310\n")
      for (const piece of all) {
        socket.write(piece)
        await Bun.sleep(5)
      }
      socket.end()
    })
    expect(said).toBe("RESTARTED")
  }
})

test("a guest in which nobody listens, and a host that says something else, have no channel", async () => {
  expect(await channelIn(join(folder, "nothing"))).toBeUndefined()
  expect(await through((socket) => socket.end())).toBeUndefined()
  expect(await through((socket) => socket.end("NO\n"))).toBeUndefined()
  expect(await through((socket) => socket.write("x".repeat(100)))).toBeUndefined()
  expect(await through(() => {}, 50)).toBeUndefined()
})
