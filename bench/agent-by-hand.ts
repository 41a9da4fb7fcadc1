// The agent's channel with nothing around it: what ovm's commands and copies are held against.
import { randomBytes } from "node:crypto"
import type { Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import {
  type AgentFrame,
  FrameReader,
  frameOf,
  HEADER,
  MOST_PAYLOAD,
  number,
  TYPE,
} from "../packages/ovm/src/guest/agent/frame.ts"
import { connectIn } from "../packages/ovm/src/vmm/process/socket.ts"

const INPUT_WINDOW = 64 << 10
const PIECE = 32 << 10
/** Granted whenever so much has come. */
const GRANT = 64 << 10

/** One at a time uses it. */
export class AgentByHand {
  #next = 1
  #heard: (frame: AgentFrame) => void = () => {}

  private constructor(private readonly channel: Socket) {}

  /** Of the machine in `folder`, which nobody else speaks to: said hello to once there is a channel. */
  static async open(folder: string): Promise<AgentByHand> {
    let channel: Socket | undefined
    while (!channel) {
      channel = await connectIn(folder, "agent.sock")
      if (!channel) await sleep(1)
    }
    const agent = new AgentByHand(channel)
    const nonce = randomBytes(16)
    const reader = new FrameReader(nonce)
    channel.on("data", (bytes: Uint8Array) => {
      for (const frame of reader.read(bytes)) agent.#heard(frame)
    })
    const welcome = agent.#hears((frame) => frame.type === TYPE.welcome)
    channel.write(new Uint8Array(HEADER + MOST_PAYLOAD))
    channel.write(frameOf(TYPE.hello, 0, Buffer.from("OVMAGNT1"), nonce))
    await welcome
    return agent
  }

  /** Settles with the first frame that `is` it. */
  #hears(is: (frame: AgentFrame) => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#heard = (frame) => {
        if (is(frame)) resolve()
      }
    })
  }

  /** Has something done to its end, with `input`; the number of bytes that came. */
  async do(texts: readonly string[], input?: AsyncIterable<Uint8Array>): Promise<number> {
    const stream = this.#next++
    const send = (type: number, bytes: Uint8Array = new Uint8Array()) =>
      this.channel.write(frameOf(type, stream, bytes))
    let [came, granted, credit] = [0, 0, INPUT_WINDOW]
    let more = Promise.withResolvers<void>()
    const ended = this.#hears(({ type, stream: of, payload }) => {
      if (of !== stream) return false
      if (type === TYPE.credit) {
        credit += Buffer.from(payload).readUInt32LE()
        more.resolve()
      }
      if (type !== TYPE.data) return type === TYPE.exit
      came += payload.length - 1
      if (came - granted < GRANT) return false
      send(TYPE.credit, number(came - granted))
      granted = came
      return false
    })
    send(TYPE.open, Buffer.from(texts.map((text) => `${text}\0`).join("")))
    for await (const bytes of input ?? [])
      for (let at = 0; at < bytes.length; ) {
        while (credit === 0) {
          more = Promise.withResolvers()
          await more.promise
        }
        const piece = bytes.subarray(at, at + Math.min(credit, PIECE))
        at += piece.length
        credit -= piece.length
        if (!send(TYPE.data, piece)) await new Promise((resolve) => this.channel.once("drain", resolve))
      }
    if (input) send(TYPE.end)
    await ended
    return came
  }

  close(): void {
    this.channel.destroy()
  }
}
