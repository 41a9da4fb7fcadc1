import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { rounded } from "../rounded.ts"
import { beginCommand } from "./execution.ts"
import type { Instance } from "./instance.ts"
import type { ExecAnswer, ExecRequest } from "./interfaces.ts"
import { KeptOutput } from "./kept-output.ts"

/** Kept of a command's output, and of its errors, in bytes (OVMS-API-324). */
const MOST = 1 << 20

/** Runs a command to its end, and collects what it writes. Throws what beginCommand and Execution.end throw. */
export async function execToEnd(
  instance: Instance,
  { input, ...request }: ExecRequest,
  call: Call,
): Promise<ExecAnswer> {
  if (request.terminal || request.interactive)
    throw new OvmError("OVM_REQUEST_INVALID", "a command whose output is collected has no terminal")
  const began = performance.now()
  const execution = await beginCommand(instance, request, { ...call, input: input !== undefined })
  const { stream } = execution
  if (input !== undefined) stream.write(Buffer.from(input)).then(() => stream.end())
  const said = { stdout: new KeptOutput(MOST), stderr: new KeptOutput(MOST) }
  for await (const { channel, bytes } of execution.output()) said[channel].add(bytes)
  const end = await execution.end()
  return {
    ...end,
    stdout: said.stdout.text,
    stderr: said.stderr.text,
    ...((said.stdout.more || said.stderr.more) && { truncated: true }),
    duration_ms: rounded(performance.now() - began),
  }
}
