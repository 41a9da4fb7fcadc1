import { toOvmError } from "../errors.ts"
import { codecFor } from "./codec.ts"
import type { Compared, Compressed, Inflated, Scanned, Task, TaskAnswer, TaskRequest } from "./tasks.ts"
import { compareChunks, compressChunks, inflateFrames } from "./work.ts"

// The other side of pool.ts.

declare const self: Worker

self.onmessage = async ({ data: { id, task } }: MessageEvent<TaskRequest>) => {
  let answer: TaskAnswer
  try {
    answer = { id, result: await work(task) }
  } catch (thrown) {
    const { code, message, detail } = toOvmError(thrown)
    answer = { id, error: { code, message, detail } }
  }
  const moved =
    "result" in answer && "frames" in answer.result ? [answer.result.frames.buffer as ArrayBuffer] : []
  postMessage(answer, moved)
}

async function work(task: Task): Promise<Compressed | Inflated | Scanned | Compared> {
  if (task.kind === "scan") return (await import("./scan-work.ts")).scanBytes(task)
  if (task.kind === "compare") return compareChunks(task)
  const codec = await codecFor(task.compression)
  return task.kind === "compress" ? compressChunks(task, codec) : inflateFrames(task, codec)
}
