import { expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { machineMissing } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { PORT, World, worldMissing } from "@ovms/testkit/world.ts"
import { packNetGuest } from "./net-guest.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"

// Lane: first, 3 min. It waits 20 s each time for what does not answer.
// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(400_000)

// What a guest that does all it can gets to, in a world of addresses of every sort (spec/manifest.md, "network").

const skip =
  (await machineMissing()) || (Bun.which("passt") ? "" : "passt is not installed") || worldMissing()
if (skip) console.log(`SKIP packages/ovm/test/outbound.test.ts: ${skip}`)

const HOST = ["192.0.2.2", "2001:db8:1::2", "203.0.113.5", "2001:db8:9::5"]
const GATEWAYS = ["192.0.2.1", "2001:db8:1::1"]
const PUBLIC = ["198.51.100.7", "2001:db8:7::7"]
const PRIVATE = ["10.9.0.1", "172.20.0.1", "192.168.7.7", "100.64.0.9", "169.254.169.254", "fd00:9::1"]

/** A host in a world, with `ovm` on it and a machine whose guest does what `script` says. */
class Scene implements AsyncDisposable {
  private constructor(
    readonly world: World,
    readonly box: Sandbox,
  ) {}

  static async create(script: string): Promise<Scene> {
    const world = await World.create(HOST, [...GATEWAYS, ...PUBLIC, ...PRIVATE])
    const scene = new Scene(world, await Sandbox.create())
    await packNetGuest(scene.box, "net:1", script)
    await scene.startDaemon()
    return scene
  }

  /** On the host of the world: the command line speaks to it by its socket. */
  async startDaemon(): Promise<void> {
    this.on("host", [...PROGRAM, "daemon", "--detach"])
  }

  /** What a command says that is run on the host, or beyond it. */
  on(place: "host" | "others", command: readonly string[]): string {
    const [file = "", ...args] = [...this.world[place].inside, ...command]
    return execFileSync(file, args, { env: this.box.environment(), timeout: 60_000 }).toString()
  }

  async run(...args: readonly string[]): Promise<string> {
    return (await this.box.json(["run", "-d", ...args, "net:1"])).instance_id
  }

  async ready(id: string): Promise<string> {
    return await until("a guest that is ready", () => this.box.ok(["logs", id]), {
      is: (text) => text.includes("OVM-READY"),
      deadlineMs: 240_000,
      everyMs: 200,
    })
  }

  /** What of the world's was reached, and by what. */
  reached(place: "host" | "others"): string[] {
    return [
      ...new Set(this.world[place].contacts.map(({ protocol, address }) => `${protocol} ${address}`)),
    ].sort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.box[Symbol.asyncDispose]()
    this.world[Symbol.dispose]()
  }
}

/** Tries all of `targets` at once, by TCP and UDP. */
const tryAll = (targets: readonly string[]) => `
t() { nc -w 20 $1 ${PORT} -e /bin/true; traceroute -n -q 2 -w 2 -f 64 -m 64 -p ${PORT} $1; }
for a in ${targets.join(" ")}; do t $a >/dev/null 2>&1 & done; wait; echo OVM-TRIED ${targets.length}
`
/** The guest has IPv6 by itself, once nobody has objected to its address; on a busy host that may come late. */
const WAIT_FOR_V6 = `
for i in $(seq 8); do ip -6 addr show scope global | grep inet6 | grep -qv tentative && break; sleep 1; done
`
const EVERYBODY = [...HOST, ...GATEWAYS, ...PUBLIC, ...PRIVATE]

// OVMS-MAN-108, OVMS-MAN-110, OVMS-API-254
test.skipIf(Boolean(skip))(
  "a guest gets to what is public, and no further; who comes by its port is answered, wherever from",
  async () => {
    await using scene = await Scene.create(WAIT_FOR_V6 + tryAll(EVERYBODY))
    const id = await scene.run("-p", "0.0.0.0:18080:80")
    await scene.ready(id)
    expect(scene.reached("host")).toEqual([])
    const all = [...GATEWAYS, ...PUBLIC].flatMap((address) => [`tcp ${address}`, `udp ${address}`])
    const reached = scene.reached("others")
    expect(reached.filter((contact) => !all.includes(contact))).toEqual([])
    expect(reached).toEqual(expect.arrayContaining(all.filter((contact) => !contact.includes("::"))))
    for (const from of ["10.9.0.1", "169.254.169.254", ...PUBLIC.slice(0, 1)]) {
      const fetching = `fetch("http://192.0.2.2:18080/").then((r) => r.text()).then(console.log)`
      scene.on("others", ["ip", "route", "replace", "192.0.2.2/32", "dev", "far", "src", from])
      expect(scene.on("others", [process.execPath, "-e", fetching])).toStartWith("mac ")
    }
    expect(
      scene.on("host", [
        process.execPath,
        "-e",
        `fetch("http://127.0.0.1:18080/").then((r) => r.text()).then(console.log)`,
      ]),
    ).toStartWith("mac ")
  },
)

// OVMS-MAN-108, OVMS-MAN-110, OVMS-MAN-111
test.skipIf(Boolean(skip))(
  "a guest that takes other addresses, or another MAC address, gets no further",
  async () => {
    const nic = 'n=$(basename "$(ls -d /sys/class/net/e*)")\n'
    const address = (own: string) =>
      `ip addr flush dev $n; ip addr add ${own}/24 dev $n; ip route add default via 192.0.2.1 dev $n\n`
    const script =
      nic +
      // The host's address is one like another for a guest that has not got it itself, and so is its loopback.
      address("192.0.2.99") +
      "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 192.0.2.1 dev $n\n" +
      tryAll(["192.0.2.2", "203.0.113.5", "127.0.0.1", "10.9.0.1"]) +
      tryAll(["198.51.100.7"]) +
      `ip link set $n down; ip link set $n address 02:00:00:00:00:99; ip link set $n up\n` +
      address("192.0.2.2") +
      tryAll(["192.0.2.1"])
    await using scene = await Scene.create(script)
    const id = await scene.run("-p", "18081:80")
    await scene.ready(id)
    expect(scene.reached("host")).toEqual([])
    expect(scene.reached("others")).toEqual(["tcp 198.51.100.7", "udp 198.51.100.7"])
    expect((await scene.box.json(["status", id])).state).toBe("running")
  },
)

// OVMS-API-260, OVMS-API-261
test.skipIf(Boolean(skip))("a guest with a list gets to what is in it, again after a restart", async () => {
  await using scene = await Scene.create(tryAll(["198.51.100.7", "10.9.0.1", "172.20.0.1", "192.0.2.1"]))
  const list = [
    "--allow-outbound",
    `10.9.0.0/16,172.20.0.1:${PORT + 9}`,
    "--allow-outbound",
    `198.51.100.7:${PORT}`,
  ]
  const id = await scene.run(...list)
  await scene.ready(id)
  const expected = ["tcp 10.9.0.1", "tcp 198.51.100.7", "udp 10.9.0.1"]
  expect(scene.reached("others").filter((contact) => contact !== "udp 198.51.100.7")).toEqual(expected)
  scene.world.others.contacts.length = 0
  await scene.box.ok(["restart", "--time", "0", id])
  await scene.ready(id)
  expect((await scene.box.json(["status", id])).network.allow).toHaveLength(3)
  expect(scene.reached("others").filter((contact) => contact !== "udp 198.51.100.7")).toEqual(expected)
})
