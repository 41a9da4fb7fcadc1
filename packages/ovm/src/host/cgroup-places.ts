import { join } from "node:path"

/** A mounted hierarchy of control groups that may have the controller cpu. */
export interface Hierarchy {
  readonly version: 1 | 2
  readonly mount: string
  /** The folder of this process's own group; undefined if that is outside of what is mounted. */
  readonly own?: string
}

/**
 * Those in `mountinfo` (proc(5)), of a process whose groups are in `cgroup` (cgroups(7), /proc/PID/cgroup); version 1
 * first, since a controller that is mounted there is in no other.
 */
export function hierarchiesIn(mountinfo: string, cgroup: string): readonly Hierarchy[] {
  const found = mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ")
    const [, , , root, mount] = before.split(" ").map(unescaped)
    const [type, , options = ""] = after.split(" ")
    if (root === undefined || mount === undefined) return []
    const version = type === "cgroup2" ? 2 : type === "cgroup" && options.split(",").includes("cpu") ? 1 : 0
    if (version === 0) return []
    const below = pathBelow(root, groupIn(cgroup, version))
    return [{ version, mount, ...(below !== undefined && { own: join(mount, below) }) } as const]
  })
  return found.toSorted((one, other) => one.version - other.version)
}

/** Lines are `ID:CONTROLLERS:PATH`, of version 2 without controllers. */
function groupIn(cgroup: string, version: 1 | 2): string | undefined {
  for (const line of cgroup.split("\n")) {
    const [, id, controllers = "", path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (version === 2 ? id === "0" && controllers === "" : controllers.split(",").includes("cpu")) return path
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
