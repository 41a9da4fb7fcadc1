import { spawn } from "node:child_process"
import { readJson } from "../artifact/json.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import type { Signer } from "./interfaces.ts"
import { type PublicKey, parsePublicKey } from "./keys/public.ts"

/** Of the contract in spec/signing.md. */
const VERSION = 1
/** An answer is shorter than this, in bytes. */
const ANSWER_LIMIT = 64 << 10
/** A person may have to touch a token. */
const PATIENCE_MS = 120_000

/** `plugin:NAME/ID`: the program `ovm-signer-NAME`, and what it calls the key. */
export interface PluginKey {
  readonly program: string
  readonly key: string
}

/** Undefined for anything else, such as a path. Throws OVM_KEY_INVALID for a name that can be no program's. */
export function parsePluginKey(text: string): PluginKey | undefined {
  if (!text.startsWith("plugin:")) return undefined
  const [, name, key] = /^plugin:([a-z0-9][a-z0-9-]{0,63})\/(.{1,1024})$/s.exec(text) ?? []
  if (name === undefined || key === undefined)
    throw new OvmError("OVM_KEY_INVALID", `${JSON.stringify(text.slice(0, 200))} names no signer`, {
      hint: "plugin:NAME/KEY, for the program ovm-signer-NAME",
    })
  return { program: `ovm-signer-${name}`, key }
}

/**
 * A key that a program has access to (spec/signing.md, "Signer programs"). What it signs is verified by what it says is
 * the public key before anything is made of it. Its calls throw OVM_SIGNER_FAILED.
 */
export function pluginSigner({ program, key }: PluginKey, patienceMs = PATIENCE_MS): Signer {
  let known: Promise<PublicKey> | undefined
  const ask = (request: object, call: Call) =>
    exchange(program, { version: VERSION, key, ...request }, patienceMs, call)
  const publicKey = async (call: Call) => {
    const { publicKey: pem } = await ask({ operation: "public-key" }, call)
    try {
      return parsePublicKey(typeof pem === "string" ? pem : "", `the key ${key}`)
    } catch (cause) {
      throw failed(program, cause instanceof Error ? cause.message : "it gave no public key", cause)
    }
  }
  const once = (call: Call) => {
    known ??= publicKey(call)
    return known
  }
  return {
    publicKey: async (call = {}) => (await once(call)).pem,
    async sign(message, call = {}) {
      const { verifies } = await once(call)
      const { signature } = await ask(
        { operation: "sign", message: Buffer.from(message).toString("base64") },
        call,
      )
      const bytes = Buffer.from(typeof signature === "string" ? signature : "", "base64")
      if (!verifies(message, bytes)) throw failed(program, `what it gave is not a signature by ${key}`)
      return bytes
    },
  }
}

async function exchange(
  program: string,
  request: object,
  patienceMs: number,
  call: Call,
): Promise<Record<string, unknown>> {
  const output = await run(program, `${JSON.stringify(request)}\n`, patienceMs, call)
  const result = readJson(output, { bytes: ANSWER_LIMIT })
  if ("fault" in result) throw failed(program, `its answer is no JSON document: ${result.fault.message}`)
  const answer = result.value
  if (!isObject(answer) || answer.version !== VERSION)
    throw failed(program, `it does not speak version ${VERSION} of the contract`)
  if (isObject(answer.error)) throw failed(program, `it says: ${String(answer.error.message).slice(0, 500)}`)
  return answer
}

/** Its standard error goes to this program's: that is where it may ask somebody to touch a token. */
function run(program: string, input: string, patienceMs: number, { signal }: Call): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const timeout = AbortSignal.timeout(patienceMs)
    const stop = signal ? AbortSignal.any([signal, timeout]) : timeout
    const child = spawn(program, [], {
      stdio: ["pipe", "pipe", "inherit"],
      signal: stop,
      killSignal: "SIGKILL",
    })
    const chunks: Buffer[] = []
    let size = 0
    const fail = (why: string, cause?: unknown) => {
      child.kill("SIGKILL")
      reject(failed(program, why, cause))
    }
    child.on("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return fail("there is no such program on PATH", cause)
      if (signal?.aborted)
        return reject(new OvmError("OVM_INTERRUPTED", `${program} was interrupted`, { cause }))
      fail(timeout.aborted ? `it did not answer in ${patienceMs / 1000} s` : cause.message, cause)
    })
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.byteLength
      if (size > ANSWER_LIMIT) fail(`its answer is longer than ${ANSWER_LIMIT} bytes`)
      else chunks.push(chunk)
    })
    // A program that ends without reading is judged by its status.
    child.stdin.on("error", () => {})
    child.stdin.end(input)
    child.on("close", (status, killed) => {
      if (status === 0) resolve(Buffer.concat(chunks))
      else fail(killed === null ? `it ended with status ${status}` : `it was ended by ${killed}`)
    })
  })
}

function failed(program: string, why: string, cause?: unknown): OvmError {
  return new OvmError("OVM_SIGNER_FAILED", `${program}: ${why}`, { cause })
}
