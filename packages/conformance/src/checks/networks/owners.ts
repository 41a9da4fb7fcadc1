import { readdir, readFile, readlink } from "node:fs/promises"

/** What the state of a socket is that waits for whoever comes. */
const WAITS = { tcp: "0A", udp: "07" } as const

/** The processes that have a socket open at which somebody is served by this port, in the network of a process. */
export async function serving(
  pid: number | "self",
  protocol: "tcp" | "udp",
  port: number,
): Promise<readonly number[]> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  const inodes = new Set<string>()
  for (const name of [protocol, `${protocol}6`]) {
    const table = await readFile(`/proc/${pid}/net/${name}`, "utf8").catch(() => "")
    for (const line of table.split("\n")) {
      const words = line.trim().split(/\s+/)
      if (words[1]?.endsWith(suffix) && words[3] === WAITS[protocol]) inodes.add(`socket:[${words[9]}]`)
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
