import { readdir, readFile, readlink } from "node:fs/promises"
import type { Place } from "../../world/place.ts"

/** The processes that have a UDP socket of this port open in a namespace. */
export async function servingUdp(place: Place, port: number): Promise<readonly number[]> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  const inodes = new Set<string>()
  for (const name of ["udp", "udp6"]) {
    const table = await readFile(`/proc/${place.pid}/net/${name}`, "utf8").catch(() => "")
    for (const line of table.split("\n")) {
      const words = line.trim().split(/\s+/)
      if (words[1]?.endsWith(suffix)) inodes.add(`socket:[${words[9]}]`)
    }
  }
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    pids.map(async (pid) => {
      const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
      const links = await Promise.all(
        descriptors.map((one) => readlink(`/proc/${pid}/fd/${one}`).catch(() => "")),
      )
      return links.some((link) => inodes.has(link)) ? [Number(pid)] : []
    }),
  )
  return found.flat()
}
