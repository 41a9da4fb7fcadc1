import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { machineMissing } from "@ovms/testkit/machines.ts"
import { Random } from "@ovms/testkit/random.ts"
import { until } from "@ovms/testkit/until.ts"
import { PORT, World, worldMissing } from "@ovms/testkit/world.ts"
import { lockHolder } from "../src/host/lock-holder.ts"
import { packNetGuest } from "./net-guest.ts"
import { finished, PROGRAM, Sandbox } from "./sandbox.ts"

// Lane: first, 4 min. It waits for what drops packets, and for what two machines say of each other once a second.
// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(900_000)

// Networks that machines share (spec/networks.md), on a host that is a network namespace of its own.

const SERVED = "/run/ovm-networks"
const HOST = ["192.0.2.2", "2001:db8:1::2", "203.0.113.5"]
const GATEWAYS = ["192.0.2.1", "2001:db8:1::1"]
const PUBLIC = "198.51.100.7"
const PRIVATE = ["10.9.0.1", "192.168.7.7", "169.254.169.254"]
const PUBLIC6 = "2001:db8:7::7"
/** Where what comes is said again, as long as somebody listens. */
const HELD = 7010
const SAY_AGAIN = `
import socket, threading
def again(c):
  while data := c.recv(1000): c.sendall(data)
s = socket.create_server(("::", ${HELD}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True: threading.Thread(target=again, args=[s.accept()[0]], daemon=True).start()
`
/** The second one is what the first private address is called within IPv6. */
const PRIVATE6 = ["fd99::7", "64:ff9b::a09:1"]

const skip =
  (await machineMissing()) ||
  (existsSync("/usr/sbin/dnsmasq") ? "" : "dnsmasq is not installed") ||
  (existsSync("/usr/sbin/nft") ? "" : "nft is not installed") ||
  worldMissing() ||
  bridgesMissing()
if (skip) console.log(`SKIP packages/ovm/test/networks.test.ts: ${skip}`)

function bridgesMissing(): string {
  try {
    execFileSync("unshare", ["-n", "ip", "link", "add", "name", "b0", "type", "bridge"], { stdio: "ignore" })
    return existsSync("/dev/net/tun") ? "" : "there is no /dev/net/tun"
  } catch {
    return "bridges cannot be made here"
  }
}

/**
 * Where NAME is, and what it serves, again and again, by IPv4 and IPv6: OVM-FOUND NAME ADDRESS mac MAC. A guest has
 * IPv6 by itself, once nobody has objected to its address, which may be after its first second.
 */
const FIND = `at() { echo "$2" | sed -n "/^Name/,$ s/^Address[^:]*:* *\\($1\\).*/\\1/p" | head -n 1; }
ask() { printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 9 nc -w 5 $1 80 | grep mac; }
find() {
all=$(nslookup $1 2>/dev/null) a=$(at '[0-9]*\\.[0-9.]*' "$all") a6=$(at '[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*' "$all")
[ "$a" ] && echo "OVM-FOUND $1 $a $(ask $a)" || echo "OVM-LOST $1"
[ "$a6" ] && echo "OVM-FOUND $1 $a6 $(ask $a6)"
}
try() { nc -w 9 $1 $2 -e /bin/true >/dev/null 2>&1 && echo "OVM-TRY $1 $2 open" || echo "OVM-TRY $1 $2 closed"; }
{ for i in $(seq 15); do ip -6 a | grep "6 fd" | grep -qv tent && break; sleep 1; done
for n in $NAMES; do find $n; done; for t in $TRY; do try \${t%:*} \${t##*:} & done; wait; echo OVM-TRIED
while :; do for n in $NAMES; do find $n; done; echo "OVM-WAYS6 $(ip -6 route | grep -c ^default)"; sleep 1; done; } &
for t in $HOLD; do { until nc -w 3 $t ${HELD} -e /bin/true >/dev/null 2>&1; do sleep 1; done; { while sleep 1; do echo OVM-HELD; done; } | nc $t ${HELD} | sed "s/$/ $t/"; echo OVM-CUT; } & done
`

/** Tries what a list names, then by an address and a MAC address that are not its own, then as itself again. */
const LIE = `set -- $(ip route | sed -n 's/^default via \\([0-9.]*\\) dev \\([^ ]*\\).*/\\1 \\2/p'); g=$1 d=$2
o=$(ip -4 addr show dev $d | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p') m=$(cat /sys/class/net/$d/address)
from() { ip route replace default via $g dev $d src $1; }
try() { nc -w 2 $1 ${PORT} -e /bin/true >/dev/null 2>&1 && echo "OVM-$2 open" || echo "OVM-$2 closed"; }
hw() { ip link set dev $d down; ip link set dev $d address $1; ip link set dev $d up; from $o; }
until ip -6 route | grep -q ^default; do sleep 1; done
{ try ${PUBLIC} PUBLIC; try ${PRIVATE[0]} LISTED; try ${PUBLIC6} PUBLIC6; try ${PRIVATE6[0]} LISTED6
ip addr add \${g%.*}.250/24 dev $d; from \${g%.*}.250; try ${PRIVATE[0]} OTHER
hw 02:00:00:00:00:99; try ${PRIVATE[0]} STRANGER
hw $m; try ${PRIVATE[0]} ITSELF; echo OVM-TRIED; } &
`

/** A command that succeeds if it can connect. */
function connect(address: string, port = 80): readonly string[] {
  return ["timeout", "5", "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`]
}

describe.skipIf(Boolean(skip))("networks that machines share", () => {
  let world: World
  let box: Sandbox
  let again: ChildProcessWithoutNullStreams | undefined

  const onHost = (...command: readonly string[]): string => {
    const [file = "", ...args] = [...world.host.inside, ...command]
    return execFileSync(file, args, { env: box.environment(), timeout: 60_000 }).toString()
  }
  /** What a web server says by a port of the host. */
  const page = (address: string, port: number): string => {
    const ask = `exec 3<>/dev/tcp/${address}/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`
    return onHost("timeout", "20", "bash", "-c", `{ ${ask}; } 2>/dev/null`)
  }
  const startDaemon = () => onHost(...PROGRAM, "daemon", "--detach")
  const pack = async (tag: string, names: string, tries: readonly string[] = []) => {
    const held = tries.length > 0 ? `${PUBLIC} ${PUBLIC6}` : ""
    const script = `serve 26 cat; NAMES="${names}"; TRY="${tries.join(" ")}"; HOLD="${held}"\n${FIND}`
    await packNetGuest(box, tag, script)
  }
  const run = async (...args: readonly string[]): Promise<string> =>
    (await box.json(["run", "-d", ...args])).instance_id
  /** What it says from now on, once that has `words`. */
  const says = async (id: string, words: string | RegExp): Promise<string> => {
    const before = (await box.ok(["logs", id])).length
    return await until(
      `${words} on the console of ${id}`,
      async () => (await box.ok(["logs", id])).slice(before),
      {
        is: (text) => (typeof words === "string" ? text.includes(words) : words.test(text)),
        deadlineMs: 180_000,
        everyMs: 300,
      },
    )
  }
  /** All that it says until it has tried whom it reaches. */
  const tried = (id: string) =>
    until("one that has tried", () => box.ok(["logs", id]), {
      is: (text) => text.includes("OVM-TRIED"),
      deadlineMs: 300_000,
      everyMs: 300,
    })
  /** A connection to a port of the host that says again what it hears. */
  const echo = async (port: number) => {
    const talk = `exec 3<>/dev/tcp/127.0.0.1/${port}; while read -r line; do echo "$line" >&3; head -n 1 <&3; done`
    const [file = "", ...args] = [...world.host.inside, "timeout", "600", "bash", "-c", talk]
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] })
    let heard = ""
    child.stdout.on("data", (bytes) => {
      heard += bytes
    })
    const says = async (words: string) => {
      child.stdin.write(`${words}\n`)
      await until(`${words} again`, () => heard, { is: (text) => text.endsWith(`${words}\n`) })
    }
    await says("first")
    return { says }
  }
  const networkOf = async (id: string) => (await box.json(["status", id])).network
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
  const inspect = async (name: string): Promise<any> => await box.json(["network", "inspect", name])
  const interfaces = () => onHost("ip", "-o", "link", "show").match(/ovm[-a-z0-9]*(?=[:@])/g) ?? []
  /** Of its dnsmasq; 0 while there is none. */
  const pidOf = (bridge: string): number => {
    const path = join(SERVED, bridge, "pid")
    return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0
  }

  beforeAll(async () => {
    world = await World.create(HOST, [...GATEWAYS, PUBLIC, ...PRIVATE, PUBLIC6, ...PRIVATE6])
    // Also a daemon that a command starts is there, and not on the host that this is run on.
    box = await Sandbox.create(world.host.inside)
    const reach = [PUBLIC, ...PRIVATE, ...HOST, ...PRIVATE6, PUBLIC6, "fe80::1%eth0"]
    await pack("db:1", "")
    await pack("web:1", "db db.ovm.internal", [
      ...reach.map((address) => `${address}:${PORT}`),
      ...["$gateway", "192.0.2.2"].map((one) => `${one}:8080`),
    ])
    await packNetGuest(box, "liar:1", LIE)
    const [file = "", ...inside] = world.others.inside
    again = spawn(file, [...inside, "timeout", "1200", "python3", "-uc", SAY_AGAIN])
    await once(again.stdout, "data")
    startDaemon()
  })
  afterAll(async () => {
    again?.kill()
    for (const id of (await box.ok(["ps", "--all", "--quiet"])).split("\n").filter(Boolean))
      await box.ovm(["rm", "--force", id])
    await box.ovm(["network", "prune"])
    await box[Symbol.asyncDispose]()
    world?.[Symbol.dispose]()
  })

  test("a file of machines has its network made, and removed with them", async () => {
    await box.file(
      "machines.yaml",
      `
name: shop
networks:
  back: { internal: true, subnet: 10.77.0.0/24 }
machines:
  db: { image: db:1, networks: [back] }
  web: { image: db:1, agent: true, networks: [back], depends_on: [db], healthcheck: { exec: "nslookup shop-db" } }
`,
    )
    await box.ok(["up", "-d", "--wait"])
    const { instances, ...network } = await inspect("shop_back")
    expect(network).toMatchObject({ internal: true, subnet: "10.77.0.0/24" })
    expect(instances).toHaveLength(2)
    const { address } = await networkOf("shop-db")
    expect(await box.ok(["exec", "shop-web", "nslookup", "shop-db"])).toContain(address)
    const text = "name: shop\nnetworks: { back: {} }\nmachines: { db: { image: db:1, networks: [back] } }\n"
    await box.file("other.yaml", text)
    await box.fails(["up", "-d", "-f", "other.yaml"], "OVM_STATE_CONFLICT", [
      "shop_back",
      "defined otherwise",
    ])
    await box.file("other.yaml", text.replace("back: {}", "back: { external: true, name: elsewhere }"))
    await box.fails(["up", "-d", "-f", "other.yaml"], "OVM_NETWORK_UNKNOWN", ["elsewhere, which is external"])
    expect((await box.json(["down"])).networks).toEqual(["shop_back"])
    expect((await box.json(["network", "ls"])).networks).toEqual([])
  })

  // OVMS-NET-001, OVMS-NET-002, OVMS-NET-010, OVMS-NET-013, OVMS-NET-015, OVMS-NET-033, OVMS-NET-034
  test("a network is made and removed, and what is wrong with one is named", async () => {
    expect(await box.ok(["network", "create", "lab"])).toBe("lab")
    const lab = await inspect("lab")
    expect(lab).toMatchObject({ name: "lab", internal: false, degraded: false, instances: [] })
    expect(lab.interface).toMatch(/^ovm-[0-9a-f]{8}$/)
    expect(onHost("ip", "-4", "addr", "show", "dev", lab.interface)).toContain(`${lab.gateway}/24`)
    expect(onHost("nft", "list", "tables")).toContain(lab.interface)
    const user = readFileSync(`/proc/${pidOf(lab.interface)}/status`, "utf8")
    expect(user).not.toMatch(/^Uid:\t0/m)
    await box.fails(["network", "create", "lab"], "OVM_NAME_IN_USE", ["lab", "ovm network rm lab"])
    await box.fails(["network", "create", "other", "--subnet", lab.subnet], "OVM_SUBNET_IN_USE", ["lab has"])
    await box.fails(["network", "create", "other", "--subnet", "192.168.7.0/16"], "OVM_REQUEST_INVALID", [
      "192.168.0.0/16",
    ])
    await box.fails(["network", "create", "other", "--subnet", "8.8.8.0/24"], "OVM_REQUEST_INVALID", [
      "private",
    ])
    await box.fails(["network", "create", "user"], "OVM_REQUEST_INVALID", ["name"])
    const six = ["network", "create", "other", "--ipv6-subnet"]
    expect(onHost("ip", "-6", "addr", "show", "dev", lab.interface)).toContain(`${lab.ipv6_gateway}/64`)
    await box.fails([...six, lab.ipv6_subnet], "OVM_SUBNET_IN_USE", ["lab has"])
    await box.fails([...six, "fd00:0:0:1::1/64"], "OVM_REQUEST_INVALID", ["fd00:0:0:1::/64"])
    await box.fails([...six, "2001:db8::/64"], "OVM_REQUEST_INVALID", ["ipv6_subnet"])
    await box.fails([...six, "fd00::/64", "--no-ipv6"], "OVM_REQUEST_INVALID", ["ipv6_subnet", "no IPv6"])
    onHost("ip", "route", "add", "fd44::/48", "dev", "near")
    await box.fails([...six, "fd44:0:0:9::/64"], "OVM_SUBNET_IN_USE", ["fd44::/48"])
    await box.ok([...six, "fd44:0:1::/64"])
    expect(await inspect("other")).toMatchObject({
      ipv6_subnet: "fd44:0:1::/64",
      ipv6_gateway: "fd44:0:1::1",
    })
    await box.ok(["network", "rm", "other"])
    await box.ok(["network", "create", "old", "--no-ipv6"])
    const old = await inspect("old")
    expect(old.ipv6_subnet).toBeUndefined()
    expect(onHost("ip", "-6", "addr", "show", "dev", old.interface)).toBe("")
    await box.fails(["network", "inspect", "nothing"], "OVM_NETWORK_UNKNOWN", ["nothing", "ovm network ls"])
    await box.fails(["run", "-d", "--network", "nothing", "db:1"], "OVM_NETWORK_UNKNOWN", ["nothing"])
    const joining = ["run", "-d", "--network", "lab"]
    await box.fails([...joining, "-p", `${PORT}:80`, "db:1"], "OVM_PORT_IN_USE", [`127.0.0.1:${PORT}`])
    await box.ok(["network", "create", "--internal", "shut"])
    const listing = ["run", "-d", "--allow-outbound", "198.51.100.0/24", "--network"]
    await box.fails([...listing, "shut", "db:1"], "OVM_UNSUPPORTED", ["network.allow", "shut"])
    await box.ok(["network", "rm", "shut"])
    await box.fails([...listing, "lab", "--outbound", "off", "db:1"], "OVM_REQUEST_INVALID", [
      "network.allow",
    ])
    await box.fails([...joining, "--allow-outbound", "nothing.invalid", "db:1"], "OVM_UNSUPPORTED", [
      "nothing.invalid",
    ])
    onHost("ip", "route", "add", "10.211.0.0/16", "dev", "near")
    await box.fails(["network", "create", "o", "--subnet", "10.211.9.0/24"], "OVM_SUBNET_IN_USE", [
      "10.211.0.0/16",
    ])
    expect((await box.json(["network", "ls"])).networks).toHaveLength(2)
    expect(await box.instances("--all")).toEqual([])
    // Somebody sets the rules of the host anew.
    onHost("nft", "flush", "ruleset")
    const tables = () => onHost("nft", "list", "tables")
    await until("its rules", tables, {
      is: (all) => ["inet", "bridge"].every((family) => all.includes(`table ${family} ${lab.interface}\n`)),
    })
    // The host was started again.
    await box.ok(["daemon", "--stop"])
    process.kill(pidOf(lab.interface), "SIGKILL")
    onHost("ip", "link", "delete", lab.interface)
    onHost("nft", "delete", "table", "inet", lab.interface)
    rmSync(join(SERVED, lab.interface), { recursive: true })
    startDaemon()
    const again = await until("a network that is whole", () => inspect("lab"), { is: (one) => !one.degraded })
    expect(again).toEqual(lab)
    expect(onHost("ip", "-4", "addr", "show", "dev", lab.interface)).toContain(`${lab.gateway}/24`)
    expect(onHost("nft", "list", "tables")).toContain(lab.interface)
    expect(onHost("ip", "-6", "addr", "show", "dev", lab.interface)).toContain(`${lab.ipv6_gateway}/64`)
    expect(await inspect("old")).toEqual(old)
    expect((await box.json(["network", "prune"])).removed).toHaveLength(2)
    expect(interfaces()).toEqual([])
    expect(onHost("nft", "list", "tables")).not.toContain(lab.interface)
    expect(existsSync(join(SERVED, lab.interface))).toBe(false)
  })

  // OVMS-NET-001, OVMS-NET-013, OVMS-NET-015
  test("a daemon that is killed while it makes or removes one leaves a whole one or nothing", async () => {
    const random = new Random(7)
    for (let at = 0; at < 8; at++) {
      const removes = at % 2 === 1
      if (removes) await box.ok(["network", "create", "torn"])
      const { daemon } = await box.json(["info"])
      const work = finished(box.begin(["network", removes ? "rm" : "create", "torn"]))
      await Bun.sleep(random.below(500))
      process.kill(daemon.pid, "SIGKILL")
      await work
      await until("no daemon that is dying", () => existsSync(`/proc/${daemon.pid}/exe`), {
        is: (there) => !there,
      })
      const { networks } = await box.json(["network", "ls"])
      if (networks.length > 0) {
        const whole = await until("a whole network", () => inspect("torn"), { is: (one) => !one.degraded })
        expect(interfaces()).toEqual([whole.interface])
        expect(await box.ok(["network", "rm", "torn"])).toBe("torn")
      }
      expect(interfaces()).toEqual([])
      expect(onHost("nft", "list", "tables")).not.toContain("ovm-")
    }
  })

  // OVMS-NET-003
  test("a daemon without the rights makes none, and says whose they are", async () => {
    const without = ["setpriv", "--bounding-set", "-net_admin"]
    await using other = await Sandbox.create([...world.host.inside, ...without])
    const culprits = ["sudo ovm network create lab"]
    await other.fails(["network", "create", "lab"], "OVM_PERMISSION_DENIED", culprits)
    expect((await other.json(["network", "ls"])).networks).toEqual([])
    expect(existsSync(join(other.home, "networks"))).toBe(false)
    expect(interfaces()).toEqual([])
  })

  // OVMS-NET-020, OVMS-NET-021, OVMS-NET-023
  test("a machine with a list reaches what is on it, as itself alone, and one without a way out nothing", async () => {
    await box.ok(["network", "create", "listed"])
    const joining = ["--network", "listed"]
    const list = [`${PRIVATE[0]}:${PORT}`, `[${PRIVATE6[0]}]:${PORT}`]
    const liar = await run("--name", "liar", ...joining, "--allow-outbound", list.join(), "liar:1")
    expect(await networkOf(liar)).toMatchObject({ mode: "bridge", outbound: true, allow: list })
    const shut = await run("--name", "shut", ...joining, "--outbound", "off", "liar:1")
    expect(await networkOf(shut)).toMatchObject({ mode: "bridge", outbound: false })
    const [said, nothing] = [await tried(liar), await tried(shut)]
    for (const words of ["PUBLIC closed", "LISTED open", "OTHER closed", "STRANGER closed", "ITSELF open"])
      expect(said).toContain(`OVM-${words}`)
    for (const words of ["PUBLIC6 closed", "LISTED6 open"]) expect(said).toContain(`OVM-${words}`)
    expect(nothing).not.toContain(" open")
    await box.ok(["rm", "--force", "liar", "shut"])
    await box.ok(["network", "rm", "listed"])
  })

  // OVMS-NET-004, OVMS-NET-005, OVMS-NET-006, OVMS-NET-007, OVMS-NET-008, OVMS-NET-009, OVMS-NET-011, OVMS-NET-012,
  // OVMS-NET-013, OVMS-NET-014, OVMS-NET-015, OVMS-NET-016, OVMS-NET-030, OVMS-NET-031, OVMS-NET-032, OVMS-NET-035,
  // OVMS-NET-036, OVMS-NET-037, OVMS-NET-038
  test("two machines find each other by name, reach what is public, and leave nothing", async () => {
    await box.ok(["network", "create", "lab"])
    const { interface: bridge, gateway, subnet } = await inspect("lab")
    const ports = ["-p", "0.0.0.0:8080:80", "-p", "[::]:8080:80", "-p", "26"]
    const db = await run("--name", "db", "--network", "lab", ...ports, "db:1")
    const web = await run("--name", "web", "--network", "lab", "web:1")
    await box.ok(["network", "create", "--internal", "back"])
    const alone = await run("--name", "alone", "--network", "back", "-p", "8081:80", "web:1")
    const [atDb, atWeb] = [await networkOf(db), await networkOf(web)]
    expect(atDb).toMatchObject({ mode: "bridge", name: "lab", outbound: true })
    expect(atDb.address).not.toBe(atWeb.address)
    expect(atDb.mac).not.toBe(atWeb.mac)
    const found = `OVM-FOUND db ${atDb.address} mac ${atDb.mac}`
    const found6 = `OVM-FOUND db ${atDb.ipv6_address} mac ${atDb.mac}`
    const first = await tried(web)
    expect(first).toContain(`${atWeb.address}/24 via ${gateway}`)
    // What it reaches, and what it does not.
    for (const address of [PUBLIC, PUBLIC6]) expect(first).toContain(`OVM-TRY ${address} ${PORT} open`)
    for (const address of [...PRIVATE, ...PRIVATE6, ...HOST, "fe80::1%eth0"])
      expect(first).toContain(`OVM-TRY ${address} ${PORT} closed`)
    expect(world.host.contacts).toEqual([])
    const contacts = world.others.contacts.map(({ address, from }) => `${from} ${address}`)
    expect(contacts).toContain(`192.0.2.2 ${PUBLIC}`)
    expect(contacts).toContain(`2001:db8:1::2 ${PUBLIC6}`)
    await says(web, found)
    await says(web, found6)
    await says(web, `OVM-FOUND db.ovm.internal ${atDb.address} mac ${atDb.mac}`)
    // By a port of the host, from there and from beyond, and not from a machine.
    expect(first).toContain(`OVM-TRY ${gateway} 8080 closed`)
    expect(first).toContain("OVM-TRY 192.0.2.2 8080 closed")
    expect(atDb.ports).toHaveLength(3)
    expect(await box.ok(["ps"])).toContain("0.0.0.0:8080->80/tcp, [::]:8080->80/tcp")
    for (const address of ["127.0.0.1", "::1", "192.0.2.2"])
      expect(page(address, 8080)).toContain(`mac ${atDb.mac}`)
    const { host: echoing } = atDb.ports.find(({ guest }: { guest: number }) => guest === 26)
    const open = await echo(echoing)
    const { host: added } = await box.json(["port", "add", "db", "80"])
    expect(page("127.0.0.1", added)).toContain(`mac ${atDb.mac}`)
    await box.fails(["port", "add", "db", "8080:81"], "OVM_PORT_IN_USE", ["8080"])
    // From the host by its address, and by that from nobody beyond it.
    expect(onHost(...connect(atDb.address))).toBe("")
    const beyond = (...command: readonly string[]) => {
      const [file = "", ...args] = [...world.others.inside, ...command]
      execFileSync(file, args, { stdio: "ignore" })
    }
    beyond("ip", "route", "replace", subnet, "via", "192.0.2.2")
    beyond(...connect("192.0.2.2", PORT))
    beyond(...connect("192.0.2.2", 8080))
    expect(() => beyond(...connect(atDb.address))).toThrow()

    // One that is alone in a network that nothing leads out of.
    const shut = await tried(alone)
    expect(shut).toContain("OVM-LOST db\r")
    for (const address of [PUBLIC, ...PRIVATE, "192.0.2.2"])
      expect(shut).toContain(`OVM-TRY ${address} ${PORT} closed`)
    const { outbound, mac } = await networkOf(alone)
    expect(outbound).toBe(false)
    expect(page("127.0.0.1", 8081)).toContain(`mac ${mac}`)
    await box.ok(["rm", "--force", "alone"])
    expect(() => page("127.0.0.1", 8081)).toThrow()
    await box.ok(["network", "rm", "back"])

    // A clone does not come into the network of its source, and has one of its own.
    await box.ok(["snapshot", "db", "--tag", "up"])
    const into = ["run", "-d", "--network", "lab", "db:up"]
    await box.fails(into, "OVM_UNSUPPORTED", ["network.name", "MAC address"])
    const clone = await run("--name", "clone", "db:up")
    expect(await networkOf(clone)).toMatchObject({ mode: "user", mac: atDb.mac })
    await box.ok(["rm", "--force", "clone"])
    await says(web, found)

    // Nobody removes it under them.
    await box.fails(["network", "rm", "lab"], "OVM_NETWORK_IN_USE", ["lab", "ovm network inspect"])
    expect((await box.json(["network", "prune"])).removed).toEqual([])
    expect((await inspect("lab")).instances).toContainEqual({
      instance_id: db,
      address: atDb.address,
      ipv6_address: atDb.ipv6_address,
      in_use: true,
    })

    // Without a daemon, and under the next one.
    const served = pidOf(bridge)
    await box.ok(["daemon", "--stop"])
    expect(page("127.0.0.1", added)).toContain(`mac ${atDb.mac}`)
    startDaemon()
    await says(web, found)
    expect(pidOf(bridge)).toBe(served)
    for (const address of [PUBLIC, PUBLIC6]) await says(web, `OVM-HELD ${address}`)
    expect(await box.ok(["logs", web])).not.toContain("OVM-CUT")
    await box.ok(["port", "rm", "db", `${added}`])
    expect(() => page("127.0.0.1", added)).toThrow()
    await open.says("and on")

    // What carries a port is killed, which is told.
    const forward = join(box.home, "instances", db, "forwards", `tcp 127.0.0.1 ${echoing} 26`)
    process.kill(lockHolder(forward) ?? 0, "SIGKILL")
    await until("a warning", () => box.json(["status", "db"]), {
      is: ({ warnings }) => warnings.join().includes(`port 127.0.0.1:${echoing}->26/tcp has closed`),
    })
    const { ports: left } = await networkOf(db)
    expect(left).toEqual(atDb.ports.filter(({ guest }: { guest: number }) => guest !== 26))

    // What serves names is stopped, and killed.
    process.kill(served, "SIGSTOP")
    await until("it goes on", () => readFileSync(`/proc/${served}/stat`, "latin1"), {
      is: (stat) => !stat.includes(") T "),
    })
    expect(pidOf(bridge)).toBe(served)
    await says(web, found)
    // OVMS-NET-042
    const folder = join(SERVED, bridge)
    rmSync(folder, { recursive: true })
    writeFileSync(folder, "")
    process.kill(served, "SIGKILL")
    await until("why it cannot be started", () => inspect("lab"), { is: ({ error }) => error !== undefined })
    expect(await box.ok(["network", "ls"])).toMatch(/^lab +degraded /m)
    expect(await box.ok(["network", "inspect", "lab"])).toMatch(/^degraded +.*\/run\/ovm-networks/m)
    const { stdout } = await box.ovm(["doctor"])
    expect(stdout).toMatch(/^failure +networks: lab does not work: .*\/run\/ovm-networks/m)
    rmSync(folder)
    await until("another dnsmasq", () => pidOf(bridge), {
      is: (pid) => pid !== 0 && pid !== served,
    })
    await until("a whole network", () => inspect("lab"), { is: ({ degraded }) => !degraded })
    expect(await inspect("lab")).not.toHaveProperty("error")
    expect(await box.ok(["network", "ls"])).toMatch(/^lab +ready /m)
    await says(web, found)

    // No way out by IPv6 is said while there is none.
    await says(web, "OVM-WAYS6 1")
    onHost("ip", "-6", "route", "delete", "default")
    await says(web, "OVM-WAYS6 0")
    onHost("ip", "-6", "route", "add", "default", "via", GATEWAYS[1] ?? "")
    await says(web, "OVM-WAYS6 1")

    // By another name, then not at all.
    await box.ok(["rename", "db", "store"])
    await says(web, "OVM-LOST db\r")
    await box.ok(["rename", "store", "db"])
    await says(web, found)
    await box.ok(["stop", "--time", "0", "db"])
    await says(web, "OVM-LOST db\r")
    // Its VMM is killed with nobody there to see it.
    await box.ok(["start", "db"])
    expect(await networkOf(db)).toEqual({ ...atDb, ports: left })
    await says(web, found)
    expect(page("::1", 8080)).toContain(`mac ${atDb.mac}`)
    expect(interfaces()).toHaveLength(3)
    await box.ok(["daemon", "--stop"])
    const { machine } = JSON.parse(readFileSync(join(box.home, "instances", db, "instance.json"), "utf8"))
    process.kill(machine.pid, "SIGKILL")
    await until("its interface to go", interfaces, { is: (all) => all.length === 2 })
    await until("its ports to go", () => onHost("ss", "-Hltn", "sport", "=", ":8080"), {
      is: (all) => all === "",
    })
    startDaemon()
    await box.ok(["rm", "--force", "web", "db"])
    await until("every interface of a machine to go", interfaces, { is: (all) => all.length === 1 })
    const last = pidOf(bridge)
    // Who serves is found without what says its number, and not started once more.
    rmSync(join(SERVED, bridge, "pid"))
    expect(await inspect("lab")).toMatchObject({ degraded: false })
    await box.ok(["network", "rm", "lab"])
    expect(interfaces()).toEqual([])
    // A host whose first process reaps nobody keeps its number, and nothing else of it.
    const line = `/proc/${last}/cmdline`
    expect(existsSync(line) ? readFileSync(line, "utf8") : "").toBe("")
    expect(existsSync(join(SERVED, bridge))).toBe(false)
    expect(onHost("nft", "list", "tables")).not.toContain(bridge)
  })
})
