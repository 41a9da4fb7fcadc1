import { closeSync, mkdirSync, openSync } from "node:fs"
import { OvmError } from "../../errors.ts"
import { programOnPath } from "../../host/program.ts"
import { startBackground } from "../../network/background.ts"

/** Of its descriptors: its end of the connection, and the folder of its state, whatever that is called. */
const CONNECTION = 3
export const TPM_STATE_FD = 4

/** In the folder of its state. */
export const TPM_PID_FILE = "pid"

/**
 * The swtpm of this host (https://github.com/stefanberger/swtpm), the first one on PATH; undefined if there is none.
 */
export function findSwtpm(env: Record<string, string | undefined> = process.env): string | undefined {
  return programOnPath("swtpm", env)
}

const ARGUMENTS = [
  ...["socket", "--tpm2", "--daemon"],
  // It ends when the VMM that spoke to it has gone.
  "--terminate",
  ...["--ctrl", `type=unixio,clientfd=${CONNECTION}`],
  ...["--tpmstate", `dir=/proc/self/fd/${TPM_STATE_FD},mode=0600`],
  ...["--pid", `file=/proc/self/fd/${TPM_STATE_FD}/${TPM_PID_FILE}`],
]

/**
 * Starts a TPM 2.0 whose state is in the folder `state`, made if need be, with `connection` to its VMM; returns once it
 * listens. Throws OVM_HOST_FAILED with its own words; then nothing of it is left.
 */
export async function startSwtpm(state: string, connection: number): Promise<void> {
  const program = findSwtpm()
  if (program === undefined) throw new OvmError("OVM_HOST_FAILED", "swtpm is not on PATH any more")
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const folder = openSync(state, "r")
  try {
    const descriptors = [connection, folder]
    const { signal } = new AbortController()
    const fault = await startBackground({ program, args: ARGUMENTS, descriptors }, signal)
    if (!fault) return
    const said = `(${fault.how}) ${fault.words}`.trim()
    throw new OvmError("OVM_HOST_FAILED", `the machine's TPM did not start: ${said}`, { cause: fault.cause })
  } finally {
    closeSync(folder)
  }
}
