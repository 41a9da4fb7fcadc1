import type { Bytes, Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { OutputPiece } from "../../guest/agent/stream.ts"
import { endsWithin } from "../../vmm/process/ends-within.ts"
import { agentInside } from "../agents.ts"
import { beginCommand } from "../execution.ts"
import type { Instance } from "../instance.ts"
import type { SandboxAnswer, SandboxEnd, SandboxRequest } from "../interfaces.ts"
import { KeptOutput } from "../kept-output.ts"
import { asPieces } from "../pieces.ts"
import type { Starts } from "../start.ts"
import { filesIn, filesOut } from "./files.ts"
import { Standstill } from "./standstill.ts"
import { goesOnFromName, originOf, sandboxStart } from "./start.ts"
import { Stopwatch } from "./stopwatch.ts"
import { within } from "./within.ts"

/** Of a command of which nothing is said, in ms. */
const TIMEOUT_MS = 60_000
/** How long a machine whose agent has gone is waited for, which may be about to end, in ms. */
const ENDED_MS = 2000
/** For files in, in ms. */
const FILES_IN_MS = 60_000
/** For files out there is what the command has left of its time, and as much at least, in ms. */
const FILES_OUT_MS = 20_000
/** Kept of what a command writes to each of both, and of its outputs, in bytes, unless told. */
const OUTPUT = 8 << 20

export interface SandboxesOptions {
  /** By id. */
  readonly instances: ReadonlyMap<string, Instance>
  readonly starts: Starts
  /** The name of a snapshot is used by one, until what it gives is called. */
  readonly use: (reference: string) => () => void
  /** Ends an instance and removes all of it. */
  readonly remove: (id: string) => Promise<void>
}

/** Commands in machines of their own (spec/runtime-api.md, "POST /sandbox"). */
export class Sandboxes {
  readonly #closing = new AbortController()
  /** The ends of machines that there are. */
  readonly #ends = new Set<() => Promise<void>>()

  constructor(private readonly options: SandboxesOptions) {}

  /** Runs one to its end. Throws what a start, a command and files in can throw. */
  async run(request: SandboxRequest, call: Call): Promise<SandboxAnswer> {
    const limit = request.output_limit ?? OUTPUT
    const said = { stdout: new KeptOutput(limit), stderr: new KeptOutput(limit) }
    const pieces = this.#pieces(request, call)
    for (;;) {
      const next = await pieces.next()
      if (!next.done) {
        said[next.value.channel].add(next.value.bytes)
        continue
      }
      const { exit_code, ...rest } = next.value
      return { exit_code, stdout: said.stdout.text, stderr: said.stderr.text, ...rest }
    }
  }

  /** The same in pieces, as they come. Throws, too, until there is the first one. */
  async stream(request: SandboxRequest, call: Call): Promise<Bytes> {
    const pieces = this.#pieces(request, call)
    const first = await pieces.next()
    return asPieces(
      (async function* () {
        if (first.done) return first.value
        yield first.value
        return yield* pieces
      })(),
    )
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#ends].map((end) => end()))
  }

  /** Whoever leaves off reading, or aborts the call, ends it. */
  async *#pieces(request: SandboxRequest, { signal }: Call): AsyncGenerator<OutputPiece, SandboxEnd> {
    const watch = new Stopwatch()
    const stop = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])])
    const { instance_id: id } = await this.options.starts.start(sandboxStart(request), {
      signal: stop,
      transient: true,
    })
    const instance = this.options.instances.get(id)
    const used = instance && goesOnFromName(instance) ? this.options.use(request.manifest) : () => {}
    // Whoever is to read may never come back here.
    const end = this.#endOf(id, used)
    if (stop.aborted) void end()
    stop.addEventListener("abort", end, { once: true })
    const still = instance && new Standstill(instance, end)
    try {
      if (!instance) throw new OvmError("OVM_INTERNAL", `there is no instance ${id}`)
      watch.lap("start")
      const done = yield* inside(instance, request, { signal: stop, watch })
      await end()
      watch.lap("end")
      return { ...done, started_from: originOf(instance), timings_ms: watch.times() }
    } catch (thrown) {
      if (stop.aborted) throw new OvmError("OVM_INTERRUPTED", "the command was given up", { cause: thrown })
      if (still?.error) throw still.error
      if (instance && toOvmError(thrown).code === "OVM_AGENT_UNAVAILABLE")
        await endsWithin(instance.ended, ENDED_MS)
      const { code, message } = instance?.info.error ?? {}
      throw code && message !== undefined ? new OvmError(code, message, { cause: thrown }) : thrown
    } finally {
      still?.over()
      stop.removeEventListener("abort", end)
      await end()
    }
  }

  /** Ends the machine, however often it is called; `used` is told of it. */
  #endOf(id: string, used: () => void): () => Promise<void> {
    let ending: Promise<void> | undefined
    const end = () => {
      // One that cannot be ended now is removed by itself once it has.
      ending ??= this.options
        .remove(id)
        .catch(() => {})
        .finally(() => {
          used()
          this.#ends.delete(end)
        })
      return ending
    }
    this.#ends.add(end)
    return end
  }
}

async function* inside(
  instance: Instance,
  request: SandboxRequest,
  { signal, watch }: { readonly signal: AbortSignal; readonly watch: Stopwatch },
): AsyncGenerator<OutputPiece, Pick<SandboxEnd, "exit_code" | "files" | "failed">> {
  const { command, environment, user, directory, input, files = [], outputs = [], wait_ms } = request
  const { timeout_ms = TIMEOUT_MS, output_limit: limit = OUTPUT } = request
  await agentInside(instance, { signal, ...(wait_ms !== undefined && { withinMs: wait_ms }) })
  watch.lap("agent")
  const filing = { ms: FILES_IN_MS, signal, what: "bringing files in" }
  await within(filing, (signal) => filesIn(instance, files, { signal }))
  watch.lap("files_in")
  const wanted = {
    command,
    timeout_ms,
    ...(environment && { environment }),
    ...(user !== undefined && { user }),
    ...(directory !== undefined && { directory }),
  }
  const began = performance.now()
  const execution = await beginCommand(instance, wanted, { signal, input: input !== undefined })
  const { stream } = execution
  if (input !== undefined) stream.write(Buffer.from(input, "base64")).then(() => stream.end())
  const kept = { stdout: limit, stderr: limit }
  let truncated = false
  for await (const { channel, bytes } of execution.output()) {
    const first = bytes.subarray(0, kept[channel])
    truncated ||= first.length < bytes.length
    kept[channel] -= first.length
    if (first.length > 0) yield { channel, bytes: first }
  }
  const end = await execution.end()
  watch.lap("command")
  const left = Math.max(FILES_OUT_MS, Math.ceil(began + timeout_ms - performance.now()))
  const bringing = { ms: left, signal, what: "bringing the outputs out" }
  const out = await within(bringing, (signal) => filesOut(instance, outputs, { signal, limit }))
  watch.lap("files_out")
  return { ...end, ...(truncated && { truncated }), ...out }
}
