import type { Bytes, Call } from "../content/interfaces.ts"
import { untilAborted } from "../content/until-aborted.ts"
import { OvmError } from "../errors.ts"
import type { AgentStream } from "../guest/agent/stream.ts"
import { agentInside } from "./agents.ts"
import { endOn } from "./execution.ts"
import type { Instance } from "./instance.ts"
import type { ReadFilesOptions, WriteFilesOptions } from "./interfaces.ts"

/** Kept of what an agent says of its failure, in bytes. */
const MOST_WORDS = 1000

/**
 * What is at a path of the guest, as tar. Throws OVM_FILE_UNREADABLE in the agent's words, and what agentInside and
 * AgentSession.do throw; what fails later, whoever reads is told.
 */
export async function readFiles(instance: Instance, { path, signal }: ReadFilesOptions): Promise<Bytes> {
  const stream = await begin(instance, ["read", `path=${path}`], { ...(signal && { signal }) })
  const words = new Words()
  const pieces = contentOf(stream, path, words)
  // Until something has come, a failure is the answer.
  const first = await pieces.next()
  return (async function* () {
    try {
      if (first.done) return
      yield first.value
      yield* pieces
    } finally {
      stream.leave()
    }
  })()
}

/**
 * Has the guest unpack `content` at a path. Throws as readFiles does, and what `content` throws: then what came whole
 * before is there.
 */
export async function writeFiles(
  instance: Instance,
  { path, rename, content, signal }: WriteFilesOptions,
): Promise<void> {
  const texts = ["write", `path=${path}`, ...(rename ? ["rename"] : [])]
  const stream = await begin(instance, texts, { ...(signal && { signal }) })
  const words = new Words()
  const reading = readAll(contentOf(stream, path, words))
  const over = new AbortController()
  const end = () => over.abort()
  reading.then(end, end)
  try {
    for await (const chunk of untilAborted(content, over.signal)) await stream.write(chunk)
    await stream.end()
  } catch (thrown) {
    await stream.close()
    // What it says of its end is the reason, also where nothing more comes.
    if (!over.signal.aborted) throw thrown
  }
  await reading
}

async function begin(instance: Instance, texts: readonly string[], call: Call): Promise<AgentStream> {
  const session = await agentInside(instance, call)
  const stream = session.do(texts)
  if (call.signal) endOn(stream, call.signal)
  return stream
}

/** Throws if it does not end well. */
async function* contentOf(stream: AgentStream, path: string, words: Words): AsyncGenerator<Uint8Array, void> {
  for await (const { channel, bytes } of stream.output())
    if (channel === "stdout") yield bytes
    else words.add(bytes)
  const ending = await stream.ending
  if ("refused" in ending)
    throw new OvmError("OVM_UNSUPPORTED", `the agent does not do that: ${ending.refused}`)
  if ("status" in ending && ending.status === 0) return
  const why = "signal" in ending ? `${path}: the copy was ended in the middle` : words.text
  throw new OvmError("OVM_FILE_UNREADABLE", `in the guest: ${why}`)
}

async function readAll(bytes: Bytes): Promise<void> {
  for await (const _ of bytes);
}

/** The first of what an agent says. */
class Words {
  #bytes = Buffer.alloc(0)

  add(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(0, MOST_WORDS - this.#bytes.length)])
  }

  get text(): string {
    return this.#bytes.toString().trim() || "it cannot be copied"
  }
}
