import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { AgentStream, OutputPiece } from "../guest/agent/stream.ts"
import { beginCommand, type Execution } from "./execution.ts"
import type { Instance } from "./instance.ts"
import type {
  ExecControlRequest,
  ExecEnd,
  ExecRequest,
  ExecStreamOptions,
  ExecTypeOptions,
} from "./interfaces.ts"
import { asPieces } from "./pieces.ts"

/** Commands whose output somebody reads as it comes, each under the name that its client made up. */
export class Executions {
  readonly #streams = new Map<string, AgentStream>()

  /**
   * Begins a command: what it writes, in pieces, and its end. It is ended when it is not read any more. Throws what
   * beginCommand throws.
   */
  async begin(instance: Instance, request: ExecRequest, options: ExecStreamOptions): Promise<Bytes> {
    const { attachment, signal } = options
    if (request.input !== undefined)
      throw new OvmError("OVM_REQUEST_INVALID", "input: of a command that is interactive it comes by itself")
    const key = keyOf(instance.id, attachment)
    if (this.#streams.has(key))
      throw new OvmError("OVM_STATE_CONFLICT", `a command runs as ${attachment} already`)
    const gone = new AbortController()
    const execution = await beginCommand(instance, request, {
      signal: signal ? AbortSignal.any([signal, gone.signal]) : gone.signal,
      input: request.interactive === true,
    })
    this.#streams.set(key, execution.stream)
    execution.stream.ending.catch(() => {}).finally(() => this.#streams.delete(key))
    return asPieces(outputOf(execution, () => gone.abort()))
  }

  /** Settles once the guest's agent has taken it. Throws OVM_STATE_CONFLICT if no such command runs. */
  async type(id: string, { attachment, bytes, end, signal }: ExecTypeOptions): Promise<void> {
    const stream = this.#get(id, attachment)
    await stream.write(bytes, signal)
    if (end && !signal?.aborted) await stream.end()
  }

  async control(id: string, attachment: string, { signal, terminal }: ExecControlRequest): Promise<void> {
    const stream = this.#get(id, attachment)
    if (terminal) await stream.resize(terminal.rows, terminal.columns)
    if (signal !== undefined) await stream.signal(signal)
  }

  #get(id: string, attachment: string): AgentStream {
    const stream = this.#streams.get(keyOf(id, attachment))
    if (stream) return stream
    throw new OvmError("OVM_STATE_CONFLICT", `no command of that attachment runs in instance ${id}`)
  }
}

const keyOf = (id: string, attachment: string) => `${id} ${attachment}`

async function* outputOf(execution: Execution, leave: () => void): AsyncGenerator<OutputPiece, ExecEnd> {
  try {
    yield* execution.output()
    return await execution.end()
  } finally {
    leave()
  }
}
