import { ApiError } from "./errors.ts"
import type { Bytes } from "./runtime.ts"
import type { ErrorEntry, ExecEnd, SandboxEnd } from "./wire.ts"

/** Of what a command writes. */
export interface ExecPiece {
  readonly channel: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

/** Of a piece: its channel and its length. */
const HEAD = 5
const OUTPUT = 1
const ERRORS = 2
const END = 3

/**
 * What a command writes, piece by piece, of what `execStream` gives; returns how it has ended. Throws an ApiError if
 * that cannot be told, as where the agent has gone.
 */
export function execPieces(bytes: Bytes): AsyncGenerator<ExecPiece, ExecEnd> {
  return pieces<ExecEnd>(bytes)
}

/** The same of what `sandboxStream` gives. */
export function sandboxPieces(bytes: Bytes): AsyncGenerator<ExecPiece, SandboxEnd> {
  return pieces<SandboxEnd>(bytes)
}

async function* pieces<End>(bytes: Bytes): AsyncGenerator<ExecPiece, End> {
  let held = new Uint8Array()
  for await (const chunk of bytes) {
    held = held.length === 0 ? new Uint8Array(chunk) : joined(held, chunk)
    for (;;) {
      if (held.length < HEAD) break
      const length = new DataView(held.buffer, held.byteOffset).getUint32(1)
      if (held.length < HEAD + length) break
      const kind = held[0]
      const payload = held.subarray(HEAD, HEAD + length)
      held = held.subarray(HEAD + length)
      if (kind === OUTPUT) yield { channel: "stdout", bytes: payload }
      else if (kind === ERRORS) yield { channel: "stderr", bytes: payload }
      else if (kind === END) return endIn<End>(payload)
    }
  }
  throw new ApiError("OVM_DAEMON_UNREACHABLE", "the daemon ended before the command had")
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

function endIn<End>(payload: Uint8Array): End {
  const end = JSON.parse(new TextDecoder().decode(payload)) as End | { readonly error: ErrorEntry }
  if (!isFailure(end)) return end
  throw new ApiError(end.error.code, end.error.message, { detail: end.error.detail })
}

function isFailure(end: unknown): end is { readonly error: ErrorEntry } {
  return typeof end === "object" && end !== null && "error" in end
}
