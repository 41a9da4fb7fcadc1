import { join } from "node:path"

/** What bounds processes (cgroups(7)), by its name in version 2. */
export type Controller = "cpu" | "memory" | "pids" | "io"

/** A mounted hierarchy of control groups that may have a controller. */
export interface Hierarchy {
  readonly version: 1 | 2
  readonly mount: string
  /** The folder of this process's own group; undefined if that is outside of what is mounted. */
  readonly own?: string
}

/** What this process is in: `mountinfo` (proc(5)) and `cgroup` (cgroups(7)) of /proc/PID. */
export interface OwnGroups {
  readonly mountinfo: string
  readonly cgroup: string
}

/** Those that may have `controller`; version 1 first, since a controller that is mounted there is in no other. */
export function hierarchiesIn(
  { mountinfo, cgroup }: OwnGroups,
  controller: Controller,
): readonly Hierarchy[] {
  const named = controller === "io" ? "blkio" : controller
  const found = mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ")
    const [, , , root, mount] = before.split(" ").map(unescaped)
    const [type, , options = ""] = after.split(" ")
    if (root === undefined || mount === undefined) return []
    const version = type === "cgroup2" ? 2 : type === "cgroup" && options.split(",").includes(named) ? 1 : 0
    if (version === 0) return []
    const below = pathBelow(root, groupIn(cgroup, version === 1 ? named : undefined))
    return [{ version, mount, ...(below !== undefined && { own: join(mount, below) }) } as const]
  })
  return found.toSorted((one, other) => one.version - other.version)
}

/** Lines are `ID:CONTROLLERS:PATH`, of version 2 without controllers. */
function groupIn(cgroup: string, named: string | undefined): string | undefined {
  for (const line of cgroup.split("\n")) {
    const [, id, controllers = "", path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    const found =
      named === undefined ? id === "0" && controllers === "" : controllers.split(",").includes(named)
    if (found) return path
  }
  return undefined
}

/** Only a part of the hierarchy may be mounted; what is outside of a namespace begins with `..`. */
function pathBelow(root: string, path: string | undefined): string | undefined {
  if (path === undefined || path.split("/").includes("..")) return undefined
  if (root === "/") return path
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : undefined
}

/** White space in paths is in octal there. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
