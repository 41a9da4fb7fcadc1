import { existsSync, statSync } from "node:fs"
import { join } from "node:path"

/** In the machine's directory: a link to where its VMM works, if that sees nothing else of a host. */
export const JAILED = "jailed"

/** Where the VMM of the machine in `directory` works, and has its sockets. */
export function workplaceOf(directory: string): string {
  const jail = join(directory, JAILED)
  return existsSync(jail) ? jail : directory
}

/** Whether the process works in `directory`, by whichever name, or in the jail there. Throws what looking throws. */
export function worksIn(pid: number | string, directory: string): boolean {
  const there = statSync(`/proc/${pid}/cwd`)
  return [directory, workplaceOf(directory)].some((place) => {
    const here = statSync(place)
    return here.dev === there.dev && here.ino === there.ino
  })
}
