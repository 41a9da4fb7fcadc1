import { expect, test } from "bun:test"
import { withoutNetworkRights } from "@ovms/testkit/network-rights.ts"
import { rulesText } from "./firewall.ts"
import { newInterface } from "./named-network.ts"
import { assertNetworkRights } from "./rights.ts"
import {
  freeAddress,
  freeSubnet,
  gatewayOf,
  ipv4Network,
  netmaskOf,
  parseSubnet,
  subnetsOverlap,
  subnetText,
} from "./subnet.ts"
import { gateway6Of, linkLocalOf, machine6Of, newSubnet6, rawOf, subnet6Fault } from "./subnet6.ts"

// OVMS-NET-002
test.each([
  ["10.210.3.0/24", { base: 0x0ad20300, bits: 24 }],
  ["172.16.0.0/16", { base: 0xac100000, bits: 16 }],
  ["192.168.7.16/28", { base: 0xc0a80710, bits: 28 }],
  ["10.210.3.1/24", "begins with an address of its own: 10.210.3.0/24"],
  ["10.0.0.0/8", "has 8 bits, and a network of machines 16 to 28"],
  ["10.210.3.0/30", "has 30 bits, and a network of machines 16 to 28"],
  ["172.32.0.0/16", "is not private (RFC 1918)"],
  ["8.8.8.0/24", "is not private (RFC 1918)"],
  ["fd00::/64", "is no IPv4 network, such as 10.210.3.0/24"],
  ["10.210.3.0/24/2", "is no IPv4 network, such as 10.210.3.0/24"],
  ["10.210.3.0/x", "is no IPv4 network, such as 10.210.3.0/24"],
  ["10.210.300.0/24", "is no IPv4 network, such as 10.210.3.0/24"],
])("the subnet %s", (text, expected) => {
  expect(parseSubnet(text)).toEqual(expected)
})

const known = (text: string) => {
  const found = ipv4Network(text)
  if (!found) throw new Error(text)
  return found
}

test("networks that share an address overlap, whichever is the larger", () => {
  const one = known("10.210.3.0/24")
  for (const other of ["10.210.3.0/24", "10.0.0.0/8", "10.210.3.77", "0.0.0.0/0"]) {
    expect(subnetsOverlap(one, known(other))).toBe(true)
    expect(subnetsOverlap(known(other), one)).toBe(true)
  }
  for (const other of ["10.210.2.0/24", "10.210.4.0/22", "192.168.0.0/16", "10.210.2.255"])
    expect(subnetsOverlap(one, known(other))).toBe(false)
})

test("a free subnet overlaps none of those that are taken", () => {
  expect(subnetText(freeSubnet([]) ?? known("0.0.0.0"))).toBe("10.208.0.0/24")
  const taken = ["10.208.0.0/24", "10.208.1.128/25", "10.208.2.0/23"].map(known)
  expect(subnetText(freeSubnet(taken) ?? known("0.0.0.0"))).toBe("10.208.4.0/24")
  expect(freeSubnet([known("10.0.0.0/8")])).toBeUndefined()
})

// OVMS-NET-004
test("every address of a subnet but the host's, the network's and the broadcast is somebody's in the end", () => {
  const subnet = known("10.210.3.16/28")
  expect(gatewayOf(subnet)).toBe("10.210.3.17")
  expect(netmaskOf(subnet)).toBe("255.255.255.240")
  const taken = new Set<string>()
  for (let at = 0; at < 13; at++) {
    const address = freeAddress(subnet, taken)
    if (address) taken.add(address)
  }
  expect([...taken].map((address) => Number(address.split(".")[3])).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 13 }, (_, at) => 18 + at),
  )
  expect(freeAddress(subnet, taken)).toBeUndefined()
})

test("an interface's name is one that Linux takes, and new", () => {
  const all = Array.from({ length: 100 }, newInterface)
  expect(new Set(all).size).toBe(100)
  for (const name of all) expect(name).toMatch(/^ovm-[0-9a-f]{8}$/)
})

// OVMS-NET-007, OVMS-NET-008
test("the rules close what is private before they open anything, and all of an internal network", () => {
  const network = { interface: "ovm-0badcafe", subnet: known("10.210.3.0/24") }
  const open = rulesText({ ...network, internal: false })
  for (const closed of ["10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "168.63.129.16/32"])
    expect(open).toContain(closed)
  expect(open).toContain("meta nfproto ipv6 drop")
  const six = rulesText({ ...network, subnet6: "fd12:3456:789a::/64", internal: false })
  for (const closed of ["fc00::/7", "fe80::/10", "64:ff9b::a00:0/104"]) expect(six).toContain(closed)
  expect(six.indexOf("ip6 daddr @closed6 drop")).toBeLessThan(six.indexOf("\naccept\n"))
  expect(open.indexOf("ip daddr @closed drop")).toBeLessThan(open.indexOf("\naccept\n"))
  expect(open).toContain("masquerade")
  const internal = rulesText({ ...network, internal: true })
  expect(internal).not.toContain("masquerade")
  expect(internal).toContain("chain out {\ndrop\n}")
})

// OVMS-NET-020, OVMS-NET-021
test("of a machine with a list, the network with the longest prefix decides, and what is on no list is closed", () => {
  const network = { interface: "ovm-0badcafe", subnet: known("10.210.3.0/24"), internal: false }
  const member = { name: "a", mac: "02:00:00:00:00:01", address: "10.210.3.2" }
  const reach = [
    { network: "0.0.0.0/0" },
    { network: "10.9.0.0/16", port: 443 },
    { network: "2001:db8::/32" },
  ]
  const text = rulesText(network, [
    { ...member, reach },
    { ...member, address: "10.210.3.3", reach: [] },
  ])
  const six = rulesText({ ...network, subnet6: "fd12:3456:789a::/64" }, [{ ...member, reach }])
  expect(six).toContain("meta nfproto ipv6 ether saddr 02:00:00:00:00:01 goto from_10_210_3_2")
  expect(six.indexOf("ip6 daddr fc00::/7 drop")).toBeGreaterThan(
    six.indexOf("ip6 daddr 2001:db8::/32 accept"),
  )
  expect(six).toContain("ip6 daddr 64:ff9b::/96 accept")
  const chain = (address: string) =>
    text.split(`chain from_${address} {\n`)[1]?.split("\n}")[0]?.split("\n") ?? []
  const [own, none] = [chain("10_210_3_2"), chain("10_210_3_3")]
  const at = (line: string) => own.indexOf(line)
  expect(at("ip daddr 10.9.0.0/16 meta l4proto { tcp, udp } th dport 443 accept")).toBeGreaterThanOrEqual(0)
  expect(at("ip daddr 10.9.0.0/16 meta l4proto { tcp, udp } th dport 443 accept")).toBeLessThan(
    at("ip daddr 10.0.0.0/8 drop"),
  )
  expect(at("ip daddr 10.0.0.0/8 drop")).toBeLessThan(at("ip daddr 0.0.0.0/0 accept"))
  expect(own.at(-1)).toBe("drop")
  expect(none.filter((line) => line.endsWith("accept"))).toEqual([])
  expect(text).not.toContain("2001:db8")
})

// OVMS-NET-034
test.each([
  ["fd12:3456:789a:1::/64", undefined],
  ["fd00::/64", undefined],
  ["fd12:3456:789a:1::1/64", "is written as fd12:3456:789a:1::/64"],
  ["FD12:3456:789A:1::/64", "is written as fd12:3456:789a:1::/64"],
  ["fd12:3456:0:0::/64", "is written as fd12:3456::/64"],
  ["fc00::/64", "is not within fd00::/8 (RFC 4193)"],
  ["2001:db8::/64", "is not within fd00::/8 (RFC 4193)"],
  ["fd00::/48", "is no IPv6 network of 64 bits, such as fd12:3456:789a:1::/64"],
  ["fd00::%1/64", "is no IPv6 network of 64 bits, such as fd12:3456:789a:1::/64"],
  ["fd00::/64/64", "is no IPv6 network of 64 bits, such as fd12:3456:789a:1::/64"],
])("the IPv6 subnet %s", (text, expected) => {
  expect(subnet6Fault(text)).toBe(expected)
})

// OVMS-NET-033, OVMS-NET-035
test("addresses of IPv6 are made of the network and the MAC address, and a network by chance", () => {
  expect(machine6Of("fd12:3456:789a::/64", "02:11:22:33:44:55")).toBe("fd12:3456:789a:0:11:22ff:fe33:4455")
  expect(machine6Of("fd12::/64", "02:00:00:00:00:01")).toBe("fd12::ff:fe00:1")
  expect(linkLocalOf("02:11:22:33:44:55")).toBe("fe80::11:22ff:fe33:4455")
  expect(gateway6Of("fd12:0:0:1::/64")).toBe("fd12:0:0:1::1")
  expect(rawOf("fd12::ff:fe00:1")).toBe("0xfd12000000000000000000fffe000001")
  const all = Array.from({ length: 200 }, newSubnet6)
  expect(new Set(all).size).toBe(200)
  for (const one of all) expect(subnet6Fault(one)).toBeUndefined()
})

// OVMS-NET-003
test("who may not change the host's network is told so", () => {
  const restore = withoutNetworkRights()
  try {
    expect(assertNetworkRights).toThrow("root's to make")
  } finally {
    restore()
  }
})
