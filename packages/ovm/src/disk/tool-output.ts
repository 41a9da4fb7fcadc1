import type { Bytes, Call } from "../content/interfaces.ts"
import { type ToolLimits, unreadableDisk, watchTool } from "./tool.ts"

/**
 * What a program writes, as it comes, of any length: whoever reads it bounds it. Throws as runTool does, and where it
 * ends with another status than 0, with its own words; it is killed when nobody reads on.
 */
export async function* toolOutput(
  name: string,
  args: readonly string[],
  limits: Pick<ToolLimits, "ms">,
  call: Call = {},
): Bytes {
  const { stdout, ended, end } = watchTool(name, args, limits, call)
  try {
    yield* stdout as AsyncIterable<Buffer>
    // Its output may end before it says that it failed.
    const { status, killed, stderr } = await ended
    if (killed) throw unreadableDisk(`${name} was ended by ${killed}`)
    if (status !== 0)
      throw unreadableDisk(stderr.trim().slice(0, MOST_SAID) || `${name} ended with status ${status}`)
  } catch (thrown) {
    // Why its output broke off, if that is known.
    end()
    await ended
    throw thrown
  } finally {
    end()
  }
}

/** Of its own words, in characters. */
const MOST_SAID = 1000
