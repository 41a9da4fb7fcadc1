import { OvmError } from "../../errors.ts"

const OUTPUT_LIMIT = 64 * 1024
/** A helper may ask its user something, so it has a minute. */
export const HELPER_MS = 60_000

/**
 * Runs `docker-credential-NAME ACTION` with `input` on its standard input (docker/docker-credential-helpers: protocol).
 * Returns its output, or undefined if it says that it has no such credential. Nothing of its output gets into an error.
 * Throws OVM_CREDENTIALS_UNAVAILABLE.
 */
export async function runHelper(
  name: string,
  action: "get" | "store" | "erase",
  input: string,
  timeoutMs = HELPER_MS,
): Promise<string | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw unavailable(name, "has a name that no program can have")
  const program = `docker-credential-${name}`
  const { code, output } = await run(program, action, input, timeoutMs)
  if (code === 0) return output
  if (action !== "store" && /credentials not found/i.test(output)) return undefined
  throw unavailable(name, `ended with status ${code} on ${action}`)
}

function run(
  program: string,
  action: string,
  input: string,
  timeoutMs: number,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const name = program.slice("docker-credential-".length)
    // Loaded only where there is a helper: it costs those who have none a millisecond.
    const { spawn } = process.getBuiltinModule("node:child_process")
    const child = spawn(program, [action], { stdio: ["pipe", "pipe", "ignore"] })
    const chunks: Buffer[] = []
    let size = 0
    const giveUp = (reason: string) => {
      child.kill("SIGKILL")
      reject(unavailable(name, reason))
    }
    const timer = setTimeout(() => giveUp(`did not answer within ${timeoutMs} ms`), timeoutMs)
    child.on("error", (cause) => {
      clearTimeout(timer)
      reject(unavailable(name, `could not be started as ${program}`, cause))
    })
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.byteLength
      if (size > OUTPUT_LIMIT) giveUp(`wrote more than ${OUTPUT_LIMIT} bytes`)
      else chunks.push(chunk)
    })
    child.on("close", (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? -1, output: Buffer.concat(chunks).toString() })
    })
    // A helper that does not read its input is judged by its status.
    child.stdin.on("error", () => {})
    child.stdin.end(input)
  })
}

function unavailable(name: string, reason: string, cause?: unknown): OvmError {
  return new OvmError(
    "OVM_CREDENTIALS_UNAVAILABLE",
    `the credential helper ${JSON.stringify(name)} ${reason}`,
    {
      cause,
      hint: "see credsStore and credHelpers in the Docker configuration file",
    },
  )
}
