import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { writeSync } from "node:fs"
import { Random } from "@ovms/testkit/random.ts"
import { requestText } from "../../ovm/src/network/filter.ts"
import { outboundRules } from "../../ovm/src/network/rules.ts"
import { type Between, framed, receive, receiveAll, SHIPPED, send, Workshop } from "./filter.testing.ts"
import { ACK, ethernet, GUEST, hex, icmp, ip, OTHER, SYN, tcp, udp } from "./frames.testing.ts"

// The program itself with sanitizers, between two sockets as QEMU and passt have them.
setDefaultTimeout(240_000)

let workshop: Workshop
beforeAll(() => {
  workshop = new Workshop()
})
afterAll(() => workshop[Symbol.dispose]())

const PUBLIC = "198.51.100.7"
const forwards = [{ protocol: "udp", address: "0.0.0.0", host: 5353, guest: 53 }] as const
const REQUEST = `${requestText({ mac: GUEST, forwards, rules: outboundRules() })}\0`
/** Goes through, either way. */
const MARK = ethernet(0x0806, Buffer.alloc(28, 7))

function passes(filter: Between, from: "guest" | "outside", frame: Uint8Array): boolean {
  return filter.through(from, [frame, MARK]).length === 2
}

const LEAVE: readonly (readonly [string, Buffer])[] = [
  ["ARP", ethernet(0x0806, Buffer.alloc(28))],
  ["a connection to a public address", tcp(PUBLIC, 443)],
  ["IPv4 options", tcp(PUBLIC, 443, SYN, { options: 40 })],
  ["a public address of IPv6", tcp("2606:4700::1", 443)],
  ["by a translator to a public address", tcp("64:ff9b::c633:6407", 443)],
  ["a datagram to a public address", udp(PUBLIC, 53)],
  ["a ping", icmp(PUBLIC)],
  ["a ping by IPv6", icmp("2606:4700::1")],
  ["DHCP", udp("255.255.255.255", 67, 68, { from: "0.0.0.0" })],
  ["DHCP to the one that gave the lease", udp("192.168.0.1", 67, 68)],
  ["DHCP by IPv6", udp("ff02::1:2", 547, 546, { from: "fe80::1" })],
  ["a search for a neighbour", icmp("ff02::1:ff00:1", 135)],
  ["a search for a router", icmp("ff02::2", 133)],
  ["an answer to a client on a private address", tcp("192.168.0.9", 50_000, SYN | ACK)],
  ["what follows in its connection", tcp("192.168.0.9", 50_000, ACK)],
]

test.each(LEAVE)("lets out %s", (_, frame) => {
  using filter = workshop.start(REQUEST)
  expect(passes(filter, "guest", frame)).toBe(true)
})

const CLOSED = [
  ...["127.0.0.1", "0.0.0.0", "10.1.2.3", "100.64.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"],
  ...["192.168.1.1", "192.0.0.192", "198.18.0.1", "224.0.0.251", "239.1.1.1", "255.255.255.255"],
  ...["168.63.129.16", "::1", "::", "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::fb", "ff0e::1"],
  ...["::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:a00:1::1", "2001::1"],
]

// OVMS-MAN-110
test.each(CLOSED)("nothing gets to %s", (to) => {
  using filter = workshop.start(REQUEST)
  for (const frame of [tcp(to, 80), udp(to, 80), udp(to, 53, 53), icmp(to)])
    expect(passes(filter, "guest", frame)).toBe(false)
  expect(passes(filter, "guest", tcp(to, 80, SYN, { options: to.includes(":") ? 0 : 8 }))).toBe(false)
})

const inIp = (payload: Uint8Array, length = payload.length) => ethernet(0x0800, payload.subarray(0, length))
const packet = tcp(PUBLIC, 443).subarray(14)
const changed = (at: number, value: number) => {
  const copy = Buffer.from(packet)
  copy[at] = value
  return inIp(copy)
}
const REFUSED: readonly (readonly [string, Buffer])[] = [
  ["another's MAC address", tcp(PUBLIC, 443, SYN, { mac: OTHER })],
  ["ARP by another's MAC address", ethernet(0x0806, Buffer.alloc(28), OTHER)],
  ["a VLAN tag", ethernet(0x8100, Buffer.concat([Buffer.from([0, 1, 8, 0]), packet]))],
  ["another protocol", ethernet(0x88cc, packet)],
  ["another protocol of IP", ip({ to: PUBLIC, protocol: 47, payload: Buffer.alloc(40) })],
  ["a first fragment", tcp(PUBLIC, 443, SYN, { piece: 0x2000 })],
  ["a later fragment", tcp(PUBLIC, 443, SYN, { piece: 0x0001 })],
  ["a header of IPv6 in between", ip({ to: "2606:4700::1", protocol: 0, payload: Buffer.alloc(40) })],
  ["a fragment of IPv6", ip({ to: "2606:4700::1", protocol: 44, payload: Buffer.alloc(40) })],
  ["IPv4 that says to be IPv6", changed(0, 0x65)],
  ["a header that is too short", changed(0, 0x44)],
  ["a header that is longer than the packet", changed(0, 0x4f)],
  ["a length behind the end", changed(3, 0xff)],
  ["a length before the header's end", changed(3, 10)],
  ["half a header", inIp(packet, 12)],
  ["half of TCP's header", inIp(packet, 30)],
  ["no header", ethernet(0x0800, Buffer.alloc(0))],
  ["IPv6 that is cut off", ethernet(0x86dd, tcp("2606:4700::1", 443).subarray(14, 60))],
  ["nothing", Buffer.alloc(0)],
  ["less than an Ethernet header", Buffer.alloc(13)],
  ["an echo reply", icmp(PUBLIC, 0)],
  ["a router's advertisement", icmp("ff02::1", 134)],
  ["a redirect", icmp("fe80::1", 137)],
  ["DHCP's port from another one", udp("10.0.0.1", 67, 69)],
  ["DHCP by IPv6 to one host", udp("fe80::9", 547, 546)],
]

// OVMS-MAN-110, OVMS-MAN-111
test.each(REFUSED)("drops %s", (_, frame) => {
  using filter = workshop.start(REQUEST)
  expect(passes(filter, "guest", frame)).toBe(false)
})

/** Of IP and TCP together, which is nothing when all of it is right (RFC 1071). */
function checksum(bytes: Uint8Array, more = 0): number {
  let total = more
  for (let at = 0; at < bytes.length; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total ^ 0xffff
}

test.each([
  ["192.168.0.9", 0, 20, 12],
  ["192.168.0.9", 8, 20, 12],
  ["fd00::9", 0, 40, 8],
])(
  "a handshake that the guest goes on with is ended by us: %s, %p bytes of options",
  async (to, options, header, from) => {
    using filter = workshop.start(REQUEST)
    const second = tcp(to, 50_000, SYN | ACK, { options })
    const at = 14 + header + options
    second.writeUInt32BE(0xffffffff, at + 4)
    second.writeUInt32BE(0x12345678, at + 8)
    // Not before the other side has read what is answered by it; nothing else is held up.
    for (const frame of [second, MARK]) writeSync(filter.guest, framed(frame))
    await Bun.sleep(50)
    expect(filter.through("outside", [MARK])).toEqual([MARK])
    expect(receive(filter.outside)).toEqual(second)
    expect(receive(filter.outside)).toEqual(MARK)
    const third = receive(filter.guest)
    expect(third).toHaveLength(14 + header + 20)
    expect(third.subarray(0, 14)).toEqual(Buffer.concat([hex(GUEST), hex(OTHER), second.subarray(12, 14)]))
    const [ip4, segment] = [third.subarray(14), third.subarray(14 + header)]
    if (header === 20) expect(checksum(ip4.subarray(0, 20))).toBe(0)
    expect(checksum(ip4.subarray(from), 6 + 20)).toBe(0)
    const half = (header - from) / 2
    expect(ip4.subarray(from, from + half)).toEqual(second.subarray(14 + from + half, 14 + header))
    expect(ip4.subarray(from + half, header)).toEqual(second.subarray(14 + from, 14 + from + half))
    expect([segment.readUInt16BE(0), segment.readUInt16BE(2)]).toEqual([50_000, 40_000])
    expect([segment.readUInt32BE(4), segment.readUInt32BE(8)]).toEqual([0x12345678, 0])
    expect([segment.readUInt16BE(12), segment.readUInt16BE(18)]).toEqual([0x5010, 0])

    // Nothing else is answered, nor what the guest may not say.
    for (const frame of [tcp(to, 50_000, ACK), tcp(to, 50_000, SYN | ACK, { mac: OTHER }), tcp(PUBLIC, 80)])
      passes(filter, "guest", frame)
    expect(passes(filter, "outside", second)).toBe(true)
  },
)

test("who has sent to a published UDP port is answered, from that port, and nobody else is", () => {
  using filter = workshop.start(REQUEST)
  const client = "192.168.0.9"
  const answer = udp(client, 50_000, 53)
  expect(passes(filter, "guest", answer)).toBe(false)
  expect(passes(filter, "outside", udp("192.0.2.2", 53, 50_000, { from: client }))).toBe(true)
  expect(passes(filter, "guest", answer)).toBe(true)
  for (const frame of [udp(client, 50_001, 53), udp(client, 50_000, 54), udp("192.168.0.8", 50_000, 53)])
    expect(passes(filter, "guest", frame)).toBe(false)
  // A port that the guest has opened by sending from it is none for those whom it may not send to.
  expect(passes(filter, "outside", udp("192.0.2.2", 54, 50_000, { from: client }))).toBe(false)
  expect(passes(filter, "outside", udp("192.0.2.2", 54, 53, { from: PUBLIC }))).toBe(true)
  expect(passes(filter, "outside", udp("255.255.255.255", 68, 67, { from: client }))).toBe(true)
  expect(passes(filter, "outside", tcp("192.0.2.2", 80, SYN, { from: client }))).toBe(true)
})

test("a flood of strangers at a published port leaves the latest of them answered", () => {
  using filter = workshop.start(REQUEST)
  const strangers = Array.from({ length: 20_000 }, (_, at) => `10.1.${at >> 8}.${at & 255}`)
  for (let at = 0; at < strangers.length; at += 500) {
    const batch = strangers.slice(at, at + 500)
    const frames = batch.map((from) => udp("192.0.2.2", 53, 50_000, { from }))
    expect(filter.through("outside", [...frames, MARK])).toHaveLength(batch.length + 1)
  }
  expect(passes(filter, "guest", udp(strangers.at(-1) ?? "", 50_000, 53))).toBe(true)
})

// OVMS-API-261
test("with a list, what is in it is open and nothing else; this host's own only by itself", () => {
  const allowed = [
    { network: "0.0.0.0/0", port: 443 },
    { network: "10.1.0.0/16" },
    { network: "169.254.169.254/32" },
  ]
  const text = requestText({ mac: GUEST, forwards: [], rules: outboundRules(allowed) })
  using filter = workshop.start(`${text}\0`)
  const open = [
    tcp(PUBLIC, 443),
    tcp("10.1.2.3", 80),
    tcp("169.254.169.254", 80),
    tcp("64:ff9b::a01:203", 80),
  ]
  const closed = [tcp(PUBLIC, 80), tcp("10.2.0.1", 443), tcp("169.254.1.1", 443), tcp("2606:4700::1", 443)]
  for (const frame of open) expect(passes(filter, "guest", frame)).toBe(true)
  for (const frame of [...closed, tcp("127.0.0.1", 443)]) expect(passes(filter, "guest", frame)).toBe(false)
})

test("the most specific rule decides; of one network one that opens it; a port is one of many", () => {
  const text =
    `mac ${GUEST}\nopen 0.0.0.0/0\nclosed 10.0.0.0/8\nopen 10.1.0.0/16\nclosed 10.1.2.3/32\nclosed 10.9.0.0/16\n` +
    "open 10.9.0.0/16 443\nclosed fc00::/7\nopen fd00::/9\0"
  using filter = workshop.start(text)
  const open = [
    tcp("10.1.2.4", 1),
    tcp("10.9.0.1", 443),
    tcp("8.8.8.8", 1),
    tcp("fd7f::1", 1),
    icmp("10.1.0.1"),
  ]
  const closed = [
    tcp("10.2.0.1", 1),
    tcp("10.1.2.3", 1),
    tcp("10.9.0.1", 80),
    tcp("fd80::1", 1),
    icmp("10.9.0.1"),
  ]
  for (const frame of open) expect(passes(filter, "guest", frame)).toBe(true)
  for (const frame of closed) expect(passes(filter, "guest", frame)).toBe(false)
  // What no rule is of is closed.
  expect(passes(filter, "guest", tcp("2606:4700::1", 443))).toBe(false)
})

test.each([
  ["", "nothing"],
  ["open 0.0.0.0/0\n\0", "no MAC address"],
  [`mac ${GUEST}\n`, "no end"],
  [`mac ${GUEST}\nallow 0.0.0.0/0\n\0`, "another word"],
  [`mac ${GUEST}\nopen 0.0.0.0/33\n\0`, "a prefix that is too long"],
  [`mac ${GUEST}\nopen 0.0.0.0\n\0`, "no prefix"],
  [`mac ${GUEST}\nopen example.org/8\n\0`, "a name"],
  [`mac ${GUEST}\nopen ::/0 65536\n\0`, "no port"],
  [`mac ${GUEST}\nopen ::/0 1 2\n\0`, "one word more"],
  [`mac ${GUEST}\nport udp 0.0.0.0 53 -1\n\0`, "a negative port"],
  [`mac ${GUEST}\nport sctp 0.0.0.0 53 53\n\0`, "another protocol"],
  [`mac ${GUEST}\nport tcp localhost 53 53\n\0`, "a name for an address"],
  [`mac ${GUEST}\nport tcp 127.0.0.1 0 53\n\0`, "no port of the host"],
  [`mac ${GUEST}\n${"port tcp 127.0.0.1 1 1\n".repeat(65)}\0`, "too many ports"],
  [`mac ${GUEST}\nopen ${"1".repeat(300)}\n\0`, "a line that is too long"],
  [`mac ${GUEST}\n${"open ::/0\n".repeat(8193)}\0`, "too many rules"],
  ["mac 02:00:00:00:00\n\0", "half a MAC address"],
])("a request that is none is refused: %#", (request) => {
  expect(() => workshop.start(request)).toThrow("started by ovm only")
})

test("frames of every size go through whole, in whatever pieces they come, beside those that do not", () => {
  using filter = workshop.start(REQUEST)
  const random = new Random(7)
  for (let round = 0; round < 200; round++) {
    const sent = Array.from({ length: 1 + random.below(20) }, () => {
      const payload = Buffer.alloc(
        20 + random.below([10, 1500, 9000][random.below(3)] ?? 10),
        random.below(256),
      )
      payload.fill(0, 0, 20)
      payload[13] = ACK
      return ip({ to: PUBLIC, protocol: random.below(3) === 0 ? 47 : 6, payload })
    })
    const out = filter.through(random.below(2) === 0 ? "guest" : "outside", [...sent.filter(isTcp), MARK])
    expect(Buffer.concat(out).equals(Buffer.concat([...sent.filter(isTcp), MARK]))).toBe(true)
    const left = filter.through("guest", [...sent, MARK])
    expect(Buffer.concat(left).equals(Buffer.concat([...sent.filter(isTcp), MARK]))).toBe(true)
  }
  const largest = Buffer.concat([MARK, Buffer.alloc(4096 + 65_536 - MARK.length, 3)])
  expect(passes(filter, "guest", largest)).toBe(true)
})

test("a segment for everybody is the guest's, whom passt need not have seen; a datagram for everybody stays one", () => {
  using filter = workshop.start(REQUEST)
  const everybody = hex("ff:ff:ff:ff:ff:ff")
  const forEverybody = (frame: Buffer) => Buffer.concat([everybody, frame.subarray(everybody.length)])
  const [segment, datagram] = [tcp(PUBLIC, 80), udp("255.255.255.255", 68, 67)].map(forEverybody)
  const mine = Buffer.concat([hex(GUEST), segment?.subarray(everybody.length) ?? Buffer.alloc(0)])
  expect(filter.through("outside", [segment ?? MARK, datagram ?? MARK, MARK])).toEqual([
    mine,
    datagram ?? MARK,
    MARK,
  ])
})

const isTcp = (frame: Buffer) => frame[23] === 6

test("a handshake's second segment that comes twice at once goes on once, and again when that has been read", () => {
  using filter = workshop.start(REQUEST)
  const second = tcp("192.168.0.9", 50_000, SYN | ACK)
  send(filter.guest, second, second, MARK)
  expect(receiveAll(filter.outside)).toEqual([second])
  expect(receive(filter.guest)).toHaveLength(14 + 20 + 20)
  expect(receiveAll(filter.outside)).toEqual([second])
  expect(receive(filter.outside)).toEqual(MARK)
})

test("an outside that stands still finds whole frames each time", async () => {
  using filter = workshop.start(REQUEST)
  const random = new Random(5)
  const frames = Array.from({ length: 600 }, () =>
    Buffer.concat([tcp(PUBLIC, 443, ACK), Buffer.alloc(random.below(1400), 9)]),
  )
  for (const frame of frames) frame.writeUInt16BE(frame.length - 14, 16)
  // More than the sockets take: the filter's own buffer fills as well.
  for (let round = 0; round < 5; round++) {
    send(filter.guest, ...frames)
    await Bun.sleep(20)
    for (let left: readonly Buffer[] = frames; left.length > 0; ) {
      const came = receiveAll(filter.outside)
      expect(Buffer.concat(came).equals(Buffer.concat(left.slice(0, came.length)))).toBe(true)
      left = left.slice(came.length)
    }
  }
})

test("whatever bytes a guest sends, it goes on", () => {
  using filter = workshop.start(REQUEST)
  const random = new Random(11)
  const seeds = [...LEAVE, ...REFUSED].map(([, frame]) => frame).filter(({ length }) => length > 20)
  for (let round = 0; round < 3000; round++) {
    const frames = Array.from({ length: 10 }, () => {
      const frame = Buffer.from(seeds[random.below(seeds.length)] ?? MARK)
      for (let times = random.below(6); times > 0; times--)
        frame[random.below(frame.length)] = random.below(256)
      return frame.subarray(0, random.below(4) === 0 ? random.below(frame.length) : frame.length)
    })
    const out = filter.through(random.below(2) === 0 ? "guest" : "outside", [...frames, MARK])
    const strange = out.filter((frame) => ![...frames, MARK].some((sent) => sent.equals(frame)))
    expect(strange.filter((frame) => frame.length > 74)).toEqual([])
  }
})

test("a length that no frame has ends it, and the end of one side is the other one's", () => {
  for (const program of [undefined, SHIPPED]) {
    const fault = workshop.start(REQUEST, program)
    writeSync(fault.guest, Buffer.from([0, 1, 0x10, 1]))
    expect(() => receive(fault.outside)).toThrow("the filter has ended")
    expect(() => receive(fault.guest)).toThrow()
    fault[Symbol.dispose]()
    for (const [end, other] of [
      ["guest", "outside"],
      ["outside", "guest"],
    ] as const) {
      using filter = workshop.start(REQUEST, program)
      expect(passes(filter, "guest", tcp(PUBLIC, 1))).toBe(true)
      filter.close(end)
      expect(() => receive(filter[other])).toThrow("the filter has ended")
    }
  }
})
