import { join } from "node:path"
import type { Bytes } from "../content/interfaces.ts"
import { assertReadable, readConsole } from "../vmm/console.ts"
import { tailOffset } from "../vmm/console-tail.ts"
import { momentsIn, sinceOffset } from "../vmm/console-times.ts"
import { PREVIOUS } from "../vmm/process/traces.ts"
import { consoleLines } from "./console-lines.ts"
import type { Instance } from "./instance.ts"
import type { LogsOptions } from "./interfaces.ts"

/** Runtime.logs of an instance. Throws before the first byte what reading from the beginning would throw. */
export async function instanceConsole(instance: Instance, options: LogsOptions): Promise<Bytes> {
  const { follow = false, previous = false, timestamps = false, signal } = options
  const directory = previous ? join(instance.directory, PREVIOUS) : instance.directory
  await assertReadable(directory)
  if (!follow && isAhead(options)) return nothing()
  let offset = await beginOf(directory, options)
  const bytes = readConsole(directory, {
    offset,
    ended: instance.ended,
    // Nothing more comes of a life that is over.
    follow: follow && !previous,
    at: (position) => {
      offset = position
    },
    ...(signal && { signal }),
  })
  const shown = timestamps ? consoleLines({ bytes, offset: () => offset }, await momentsIn(directory)) : bytes
  return follow ? followed(instance, shown) : shown
}

/** All that there is came before a time that is still to come, also what the guest writes while this is answered. */
function isAhead({ since }: LogsOptions): boolean {
  return since !== undefined && Date.parse(since) > Date.now()
}

async function* nothing(): Bytes {}

/** One that is followed is not removed by itself (OVMS-STA-045). */
async function* followed(instance: Instance, bytes: Bytes): Bytes {
  instance.followers++
  try {
    yield* bytes
  } finally {
    instance.followers--
  }
}

async function beginOf(directory: string, { tail, since }: LogsOptions): Promise<number> {
  return Math.max(
    tail === undefined ? 0 : await tailOffset(directory, tail),
    since === undefined ? 0 : await sinceOffset(directory, Date.parse(since)),
  )
}
