import { afterAll, beforeAll, expect, test } from "bun:test"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { existsSync, readlinkSync } from "node:fs"
import { until } from "@ovms/testkit/until.ts"
import { worldMissing } from "@ovms/testkit/world.ts"
import { rulesText } from "./firewall.ts"
import { ipv4Network } from "./subnet.ts"
import { linkLocalOf, machine6Of } from "./subnet6.ts"

// What a bridge passes on from one machine to another: frames as no guest's own programs send them, in namespaces.

const skip = worldMissing() || (existsSync("/usr/sbin/nft") ? "" : "nft is not installed")
if (skip) console.log(`SKIP packages/ovm/src/network/named/bound.test.ts: ${skip}`)

const SUBNET = ipv4Network("10.210.3.0/24") ?? { base: 0, bits: 0 }
const SUBNET6 = "fd12:3456:789a::/64"
const ONE = { name: "one", mac: "02:00:00:00:00:01", address: "10.210.3.2", reach: [] }
const OTHER = { name: "other", mac: "02:00:00:00:00:02", address: "10.210.3.3" }
const [own, its] = [ONE, OTHER].map(({ mac }) => ({ six: machine6Of(SUBNET6, mac), link: linkLocalOf(mac) }))

/** Sends a frame for each line of its input, which is of Python. */
const SEND = `
import socket, struct, sys
from ipaddress import ip_address
def ethernet(kind, rest): return bytes.fromhex("020000000002" + "020000000001") + struct.pack("!H", kind) + rest
def six(tag, source, body, kind=17, hops=64, to="${its?.six}"):
  head = struct.pack("!IHBB", 6 << 28 | tag, len(body), kind, hops)
  return ethernet(0x86dd, head + ip_address(source).packed + ip_address(to).packed + body)
def four(tag, source, body):
  ends = ip_address(source).packed + ip_address("${OTHER.address}").packed
  head = lambda sum: struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), tag, 0, 64, 17, sum) + ends
  total = sum(struct.unpack("!10H", head(0)))
  return ethernet(0x800, head(0xffff & ~(total + (total >> 16))) + body)
def both(tag, source, body):
  return [six(tag, source, struct.pack("!BBHI", 17, 0, more, 7) + part, 44) for more, part in ((1, body), (8, body))]
def arp(tag, source):
  said = struct.pack("!HHBBH", 1, 0x800, 6, 4, 2) + bytes.fromhex("020000000001") + ip_address(source).packed
  return ethernet(0x806, said + struct.pack("!6xI", tag))
def tagged(tag, count, make, *rest):
  frame = make(tag, *rest)
  return frame[:12] + bytes.fromhex("81000000") * count + frame[12:]
def udp(source=5000, to=5001): return struct.pack("!HHHH", source, to, 8, 0)
def icmp(kind, target="::"): return struct.pack("!BBHI", kind, 0, 0, 0) + ip_address(target).packed
def piece(kind, body): return struct.pack("!BBHI", kind, 0, 1, 8) + body
def options(kind, body): return struct.pack("!BBBB4x", kind, 0, 1, 4) + body
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for tag, line in enumerate(sys.stdin):
  frames = eval(line.replace("(", "(%d, " % (tag + 1), 1))
  for frame in frames if type(frames) is list else [frames]: s.send(frame)
`
/** Says the tags of what it gets, until the last one comes. */
const HEAR = `
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
print("ready", flush=True)
while True:
  frame = s.recv(2000)
  if frame[6:12].hex() != "020000000001": continue
  while frame[12:14].hex() == "8100": frame = frame[:12] + frame[16:]
  kind = frame[12:14].hex()
  if kind == "86dd": tag = struct.unpack("!I", frame[14:18])[0] & 0xfffff
  elif kind == "0800": tag = struct.unpack("!H", frame[18:20])[0]
  else: tag = struct.unpack("!I", frame[38:42])[0]
  print(tag, flush=True)
`

/** What is sent, and whether the other machine gets it. */
const FRAMES: readonly (readonly [what: string, frame: string, passes: boolean])[] = [
  ["its own address", `six("${own?.six}", udp())`, true],
  ["its own address of the link", `six("${own?.link}", udp())`, true],
  ["another address that is nobody's", `six("fd12:3456:789a::abcd", udp())`, true],
  ["the other's address", `six("${its?.six}", udp())`, false],
  ["the other's address of the link", `six("${its?.link}", udp())`, false],
  ["the host's address", 'six("fd12:3456:789a::1", udp())', false],
  ["the router's address", 'six("fe80::1", udp())', false],
  ["a router's word", `six("${own?.link}", icmp(134), 58, 255)`, false],
  ["a router's word behind options", `six("${own?.link}", options(58, icmp(134)), 0, 255)`, false],
  ["a router's word in pieces", `six("${own?.link}", piece(60, options(58, b"")), 44, 255)`, false],
  ["a redirect", `six("${own?.link}", icmp(137), 58, 255)`, false],
  ["that it is where it is", `six("${own?.six}", icmp(136, "${own?.six}"), 58, 255)`, true],
  ["that it is where the other is", `six("${own?.link}", icmp(136, "${its?.six}"), 58, 255)`, false],
  ["that it is where the host is", `six("${own?.six}", icmp(136, "fd12:3456:789a::1"), 58, 255)`, false],
  ["that it is where the router is", `six("${own?.six}", icmp(136, "fe80::1"), 58, 255)`, false],
  ["the same behind options", `six("${own?.six}", options(58, icmp(136, "fe80::1")), 0, 255)`, false],
  ["a question before it has an address", 'six("::", icmp(135, "fd12:3456:789a::abcd"), 58, 255)', true],
  ["a datagram in pieces", `both("${own?.six}", udp())`, true],
  ["a DHCPv6 server's answer", `six("${own?.link}", udp(547, 546))`, false],
  ["its own IPv4 address", `four("${ONE.address}", udp())`, true],
  ["an IPv4 address that is nobody's", 'four("10.210.3.9", udp())', false],
  ["the other's IPv4 address", `four("${OTHER.address}", udp())`, false],
  ["the host's IPv4 address", 'four("10.210.3.1", udp())', false],
  ["a DHCP server's answer", `four("${ONE.address}", udp(67, 68))`, false],
  ["a question by DHCP", 'four("0.0.0.0", udp(68, 67))', true],
  ["its own address behind a tag", `tagged(1, six, "${own?.six}", udp())`, true],
  ["the other's address behind a tag", `tagged(1, six, "${its?.six}", udp())`, false],
  ["the other's address behind two tags", `tagged(2, six, "${its?.six}", udp())`, false],
  ["a router's word behind two tags", `tagged(2, six, "${own?.link}", icmp(134), 58, 255)`, false],
  ["the other's IPv4 address behind two tags", `tagged(2, four, "${OTHER.address}", udp())`, false],
  ["by ARP where it is", `arp("${ONE.address}")`, true],
  ["by ARP that it is where the host is", 'arp("10.210.3.1")', false],
  ["the last word", `six("${own?.six}", udp())`, true],
]

const children: ChildProcess[] = []
const kept = async (): Promise<readonly string[]> => {
  const child = spawn("unshare", ["-n", "timeout", "60", "cat"], { stdio: ["pipe", "ignore", "ignore"] })
  children.push(child)
  const is = () => readlinkSync(`/proc/${child.pid}/ns/net`) !== readlinkSync("/proc/self/ns/net")
  await until("a namespace", is)
  return ["nsenter", "-t", String(child.pid), "-n"]
}
const run = ([file = "", ...inside]: readonly string[], args: readonly string[], input = "") =>
  execFileSync(file, [...inside, ...args], { input }).toString()

let places: readonly (readonly string[])[] = []
beforeAll(async () => {
  if (skip) return
  places = await Promise.all([kept(), kept(), kept()])
  const [host = [], ...machines] = places
  const ip = (...words: readonly string[]) => run(host, ["ip", ...words])
  ip("link", "add", "name", "br", "type", "bridge")
  for (const [at, { mac }] of [ONE, OTHER].entries()) {
    const place = machines[at] ?? []
    const peer = ["peer", "name", "eth0", "netns", place[2] ?? ""]
    ip("link", "add", "name", `ovmtap${at}`, "type", "veth", ...peer)
    ip("link", "set", `ovmtap${at}`, "master", "br")
    ip("link", "set", `ovmtap${at}`, "up")
    run(place, ["ip", "link", "set", "eth0", "address", mac, "up"])
  }
  ip("link", "set", "dev", "br", "up")
  const network = { interface: "br", subnet: SUBNET, subnet6: SUBNET6, internal: false }
  run(host, ["nft", "-f", "-"], rulesText(network, [ONE, OTHER]))
})
afterAll(() => {
  for (const child of children) child.kill("SIGKILL")
})

// OVMS-NET-006, OVMS-NET-023, OVMS-NET-039
test.skipIf(Boolean(skip))("a machine is passed on as itself, as no router and as nobody else", async () => {
  const [, sender = [], hearer = []] = places
  const [file = "", ...inside] = hearer
  const child = spawn(file, [...inside, "timeout", "50", "python3", "-c", HEAR])
  children.push(child)
  let heard = ""
  child.stdout.on("data", (text) => {
    heard += text
  })
  await until("who hears", () => heard.startsWith("ready\n"))
  const lines = FRAMES.map(([, frame]) => `${frame}\n`).join("")
  run(sender, ["python3", "-c", SEND], lines)
  await until("the last word", () => heard.includes(`\n${FRAMES.length}\n`))
  const tags = heard.split("\n").map(Number)
  const got = FRAMES.filter((_, at) => tags.includes(at + 1)).map(([what]) => what)
  expect(got).toEqual(FRAMES.filter(([, , passes]) => passes).map(([what]) => what))
})
