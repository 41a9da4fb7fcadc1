import { toOvmError } from "../errors.ts"
import { type Codec, codecFor } from "./codec.ts"
import type { Answer, Compressed, Inflated, Request, Task } from "./tasks.ts"
import { compressChunks, inflateFrames } from "./work.ts"

// The other side of pool.ts.

declare const self: Worker

self.onmessage = async ({ data: { id, task } }: MessageEvent<Request>) => {
  let answer: Answer
  try {
    answer = { id, result: work(task, await codecFor(task.compression)) }
  } catch (thrown) {
    const { code, message, detail } = toOvmError(thrown)
    answer = { id, error: { code, message, detail } }
  }
  const moved =
    "result" in answer && "frames" in answer.result ? [answer.result.frames.buffer as ArrayBuffer] : []
  postMessage(answer, moved)
}

function work(task: Task, codec: Codec): Compressed | Inflated {
  return task.kind === "compress" ? compressChunks(task, codec) : inflateFrames(task, codec)
}
