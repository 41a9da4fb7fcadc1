import { join } from "node:path"
import type { Bytes } from "../content/interfaces.ts"
import { assertReadable, readConsole } from "../vmm/console.ts"
import { tailOffset } from "../vmm/console-tail.ts"
import { PREVIOUS } from "../vmm/process/traces.ts"
import type { Instance } from "./instance.ts"
import type { LogsOptions } from "./interfaces.ts"

/** Runtime.logs of an instance. Throws before the first byte what reading from the beginning would throw. */
export async function instanceConsole(instance: Instance, options: LogsOptions): Promise<Bytes> {
  const { follow = false, previous = false, tail, signal } = options
  const directory = previous ? join(instance.directory, PREVIOUS) : instance.directory
  await assertReadable(directory)
  return readConsole(directory, {
    ...(tail !== undefined && { offset: await tailOffset(directory, tail) }),
    ended: instance.ended,
    // Nothing more comes of a life that is over.
    follow: follow && !previous,
    ...(signal && { signal }),
  })
}
