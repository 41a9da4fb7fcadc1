// ovm's agent with one fault: FAULT names it, MUTANT_REAL is the agent (table.ts).
import { spawn } from "node:child_process"
import { createReadStream, createWriteStream } from "node:fs"
import type { Duplex } from "node:stream"
import { type Frame, Frames, frameOf, number, TYPE, texts } from "../../src/agent/frame.ts"

const fault = process.env.FAULT ?? ""
const real = spawn(process.env.MUTANT_REAL ?? "", [], { stdio: ["ignore", "ignore", "ignore", "pipe"] })
const inner = real.stdio[3] as Duplex
const outer = createReadStream("", { fd: 3 })
const back = createWriteStream("", { fd: 3 })

const ofType = (wanted: number, change: (payload: Buffer) => Buffer | undefined) => (frame: Frame) =>
  frame.type === wanted ? change(frame.payload) : frame.payload

const CHANGES: Readonly<Record<string, (frame: Frame) => Buffer | undefined>> = {
  "does not say that it started": ofType(TYPE.restarted, () => undefined),
  "calls errors output": ofType(TYPE.data, (payload) => Buffer.concat([Buffer.of(1), payload.subarray(1)])),
  "calls signals statuses": ofType(TYPE.exit, (payload) =>
    payload.readUInt32LE(0) === 1 ? Buffer.concat([number(0), payload.subarray(4)]) : payload,
  ),
  "does not say why": ofType(TYPE.exit, (payload) => payload.subarray(0, 8)),
  "calls all programs missing": ofType(TYPE.exit, (payload) =>
    payload.readUInt32LE(4) === 126 ? Buffer.concat([number(0), number(127)]) : payload,
  ),
  "calls all well": ofType(TYPE.exit, (payload) => Buffer.concat([payload.subarray(0, 4), number(0)])),
}

const frames = new Frames()
inner.on("data", (bytes: Buffer) => {
  for (const { frame } of frames.push(bytes)) {
    const payload = CHANGES[fault]?.(frame) ?? (CHANGES[fault] ? undefined : frame.payload)
    if (payload) back.write(frameOf(frame.type, frame.stream, payload))
  }
})
/** What it makes of what it is asked; nothing of a frame that it does not hear. */
const asked = (change: (words: readonly string[]) => readonly string[]) => (frame: Frame) =>
  frame.type === TYPE.open
    ? texts(...change(frame.payload.toString().split("\0").slice(0, -1)))
    : frame.payload

let deaf = false
const HEARS: Readonly<Record<string, (frame: Frame) => Buffer | undefined>> = {
  "has an environment of its own": asked((words) =>
    words[0] === "exec" ? [...words, "variable=AGENT=1"] : words,
  ),
  "has no terminals": asked((words) => words.filter((word) => !word.startsWith("terminal="))),
  "is deaf after what is new": ({ type, payload }) => {
    deaf = type !== TYPE.hello && (deaf || type > TYPE.restarted)
    return deaf ? undefined : payload
  },
}

const heard = new Frames()
const hears = HEARS[fault]
outer.on("data", (bytes: Buffer) => {
  if (!hears) {
    inner.write(bytes)
    return
  }
  for (const { frame } of heard.push(bytes)) {
    const payload = hears(frame)
    if (payload) inner.write(frameOf(frame.type, frame.stream, payload))
  }
})
outer.on("close", () => process.exit())
inner.on("close", () => process.exit())
