import type { Bytes, Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { notBegun, notBounded, startTool, type ToolLimits, unreadableDisk } from "./tool.ts"

const STDERR_LIMIT = 1000

/**
 * What a program writes, as it comes, of any length: whoever reads it bounds it. Throws as runTool does, and where it
 * ends with another status than 0, with its own words; it is killed when nobody reads on.
 */
export async function* toolOutput(
  name: string,
  args: readonly string[],
  limits: Pick<ToolLimits, "ms">,
  { signal }: Call = {},
): Bytes {
  const child = startTool(name, args, limits)
  let said = ""
  let failed: OvmError | undefined
  const end = (error: OvmError) => {
    failed ??= error
    child.kill("SIGKILL")
  }
  const interrupt = () => end(new OvmError("OVM_INTERRUPTED", "interrupted"))
  const timer = setTimeout(() => end(unreadableDisk(`${name} took longer than ${limits.ms} ms`)), limits.ms)
  child.stderr.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(0, STDERR_LIMIT)
  })
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", (cause) => {
      failed ??= notBounded(cause)
      child.stdout.destroy()
      resolve(null)
    })
    child.once("close", resolve)
  })
  if (signal?.aborted) interrupt()
  else signal?.addEventListener("abort", interrupt, { once: true })
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    // Its output may end before it says that it failed.
    const status = await ended
    const fault = failed ?? notBegun(name, status, said)
    if (fault) throw fault
    if (status !== 0) throw unreadableDisk(said.trim() || `${name} ended with status ${status}`)
  } catch (thrown) {
    throw failed ?? thrown
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener("abort", interrupt)
    child.kill("SIGKILL")
  }
}
