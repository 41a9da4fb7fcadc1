import { skip } from "../check.ts"
import { Place } from "./place.ts"

/** What the host of a world has, and those beyond its cable: of the addresses that a guest may reach, and may not. */
export const HOST = { four: "192.0.2.2", six: "2001:db8:1::2", other: "203.0.113.5" } as const
export const ROUTER = { four: "192.0.2.1", six: "2001:db8:1::1" } as const
export const PUBLIC = {
  four: "198.51.100.7",
  later: "198.51.100.8",
  lost: "198.51.100.9",
  six: "2001:db8:7::7",
} as const
export const CLOSED = { four: "10.9.0.1", metadata: "169.254.169.254", six: "fd99::7" } as const

/** A network and mounts of its own: what programs keep in /run is gone with them, and names are ROUTER's to tell. */
const HOST_SIDE = `mount -t tmpfs -o mode=755 tmpfs /run && at=$(readlink -m /etc/resolv.conf) || exit 1
case $at in /run/*) mkdir -p "\${at%/*}" && : >"$at" ;; esac
echo "nameserver ${ROUTER.four}" >/run/suite.resolv && mount --bind /run/suite.resolv "$at" && ip link set lo up || exit 1
echo ready; exec cat`
const OUTSIDE = "ip link set lo up && echo ready && exec cat"

/**
 * A host, and at the other end of its cable addresses of every sort: in namespaces of this machine, which nothing
 * leaves, and which are gone with the suite.
 */
export class World {
  private constructor(
    readonly host: Place,
    readonly outside: Place,
  ) {}

  /** Has one as long as `use` takes; skips where namespaces cannot be made. */
  static async during(use: (world: World) => Promise<void>): Promise<void> {
    const world = await World.create()
    try {
      await use(world)
    } finally {
      world.close()
    }
  }

  static async create(): Promise<World> {
    const root = process.getuid?.() === 0
    const entering = ["-n", "-m", ...(root ? [] : ["-U", "--preserve-credentials"])]
    const own = ["unshare", ...(root ? [] : ["--user", "--map-root-user"]), "--net", "--mount"]
    const host = await Place.create([...own, "sh", "-c", HOST_SIDE], entering)
    if (!host) skip("this host lets the suite make no namespaces of its own")
    const outside = await Place.create([...host.inside, "unshare", "--net", "sh", "-c", OUTSIDE], entering)
    const world = outside && new World(host, outside)
    try {
      world?.connect()
    } catch {
      world?.close()
      skip("this host lets the suite make no cable between its namespaces")
    }
    if (world) return world
    host.close()
    skip("this host lets the suite make no second namespace")
  }

  /** What is put before a command, in the shell's words, that is to be run on the host where the suite is. */
  get before(): string {
    // Whoever enters other mounts is at their root.
    return `${this.host.inside.join(" ")} /bin/sh -c 'cd "$0" && exec "$@"' '${process.cwd()}'`
  }

  private connect(): void {
    const { host, outside } = this
    host.ip(
      `link add name near type veth peer name far netns ${outside.pid}`,
      ...addressed("near", Object.values(HOST)),
      `route add default via ${ROUTER.four}`,
      `route add default via ${ROUTER.six} dev near`,
    )
    outside.ip(
      ...addressed("far", [...Object.values(ROUTER), ...Object.values(PUBLIC), ...Object.values(CLOSED)]),
      `route add ${HOST.other} via ${HOST.four}`,
    )
  }

  close(): void {
    this.outside.close()
    this.host.close()
  }
}

/** What `ip` is told for a device that is up and has these addresses. */
function addressed(device: string, addresses: readonly string[]): string[] {
  const each = addresses.map((address) => {
    const near = address.startsWith("192.0.2.") || address.startsWith("2001:db8:1:")
    const isSix = address.includes(":")
    return `addr add ${address}/${near ? (isSix ? 64 : 24) : isSix ? 128 : 32} dev ${device}${isSix ? " nodad" : ""}`
  })
  return [`link set ${device} addrgenmode none`, `link set ${device} up`, ...each]
}
