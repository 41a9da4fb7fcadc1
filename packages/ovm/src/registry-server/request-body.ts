import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"

export interface RequestBody {
  /** The body as it comes, to be read once. Throws OVM_INTERRUPTED when the connection breaks. */
  readonly content: Bytes
  /** Lets go of what nobody read. */
  discard(): void
}

/**
 * The body of a request. To be asked for before anything is waited for: of a connection that breaks early, what came
 * would be lost otherwise.
 */
export function bodyOf(request: Request): RequestBody {
  const reader = request.body?.getReader()
  const discard = () => void reader?.cancel().catch(() => {})
  async function* read(): Bytes {
    try {
      while (reader) {
        const { done, value } = await reader.read().catch(broken)
        if (done) return
        yield value
      }
    } finally {
      discard()
    }
  }
  return { content: read(), discard }
}

function broken(cause: unknown): never {
  throw new OvmError("OVM_INTERRUPTED", "the connection broke in the middle of a request", { cause })
}
