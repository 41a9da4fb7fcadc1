import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { Random } from "@ovms/testkit/random.ts"
import { type Between, receive, send, Workshop } from "./filter.testing.ts"
import {
  ACK,
  ethernet,
  FIN,
  GUEST,
  hex,
  icmp,
  OTHER,
  RST,
  SYN,
  settling,
  tcp,
  udp,
} from "./frames.testing.ts"
import {
  back,
  CLIENT,
  firstGot,
  flagsOf,
  guestGot,
  into,
  MARK,
  OPEN,
  PUBLIC,
  portsOf,
  readdressed,
  requested,
  SELF,
  seen,
  WEB,
} from "./ports.testing.ts"

// Each port that is added has an outside of its own: which frames go by which.
setDefaultTimeout(240_000)

let workshop: Workshop
beforeAll(() => {
  workshop = new Workshop()
})
afterAll(() => workshop[Symbol.dispose]())

function start(ports?: Parameters<typeof requested>[0], program?: string): Between {
  return workshop.start(requested(ports), program)
}

test("by an added port comes what is for its port of the guest, and nothing else", () => {
  using filter = start()
  const web = filter.add(WEB)
  const refused = [
    ...[ethernet(0x0806, Buffer.alloc(28), OTHER), icmp(SELF), udp("255.255.255.255", 68, 67), udp(SELF, 81)],
    ...[into(80), into(82), into(81, { flags: ACK }), into(81, { flags: SYN | ACK })],
    ...[icmp("ff02::1", 134), ethernet(0x86dd, Buffer.alloc(40), OTHER), Buffer.alloc(0), Buffer.alloc(13)],
  ]
  send(web, ...refused, into(81), into(81, { flags: ACK }))
  expect(receive(filter.guest)).toEqual(readdressed(into(81)))
  expect(receive(filter.guest)).toEqual(readdressed(into(81, { flags: ACK })))
  guestGot(filter)
})

test("what the guest says in a connection goes to where that came from, and nothing else does", () => {
  using filter = start()
  const web = filter.add(WEB)
  send(web, into(81))
  receive(filter.guest)
  send(filter.guest, back(81, { flags: SYN | ACK }))
  // Of the guest's own, to announce where it is.
  expect(receive(web).subarray(26, 34)).toEqual(Buffer.from([192, 0, 2, 2, 192, 0, 2, 2]))
  expect(receive(web)).toEqual(back(81, { flags: SYN | ACK }))
  // The end of the handshake, as of the first one's.
  const third = receive(filter.guest)
  expect([portsOf(third), flagsOf(third)]).toEqual([[50_000, 81], ACK])
  const others = [
    ...[back(80), back(81, { source: 50_001 }), back(81, { from: "192.168.0.8" }), tcp(PUBLIC, 443)],
    ...[udp(PUBLIC, 53), udp("255.255.255.255", 67, 68), ethernet(0x0806, Buffer.alloc(28))],
  ]
  send(filter.guest, ...others, back(81))
  firstGot(filter, ...others)
  expect(receive(web)).toEqual(back(81))
})

test("the guest's own connection from the port is the first outside's, whoever had come from there", () => {
  using filter = start()
  const web = filter.add(WEB)
  send(web, into(81, { from: PUBLIC, source: 443 }))
  receive(filter.guest)
  const opens = tcp(PUBLIC, 443, SYN, { from: SELF, source: 81 })
  const goesOn = tcp(PUBLIC, 443, ACK, { from: SELF, source: 81 })
  send(filter.guest, opens, goesOn)
  firstGot(filter, opens, goesOn)
  // Where it may not connect to stays closed.
  send(filter.guest, tcp(CLIENT, 50_000, SYN, { from: SELF, source: 81 }))
  firstGot(filter)
})

test("two clients from one port, to one of the guest's: the second one is refused, until the first is through", () => {
  using filter = start()
  const other = filter.add("tcp 127.0.0.1 8082 80")
  send(filter.outside, into(80))
  expect(receive(filter.guest)).toEqual(into(80))
  send(other, into(80))
  const refused = receive(other)
  expect([portsOf(refused), flagsOf(refused)]).toEqual([[80, 50_000], RST | ACK])
  guestGot(filter)
  send(filter.outside, into(80, { flags: FIN | ACK }))
  guestGot(filter, into(80, { flags: FIN | ACK }))
  send(other, into(80))
  expect(flagsOf(receive(other))).toBe(RST | ACK)
  send(filter.guest, back(80, { flags: FIN | ACK }))
  firstGot(filter, back(80, { flags: FIN | ACK }))
  send(other, into(80))
  expect(receive(filter.guest)).toEqual(readdressed(into(80)))
  send(filter.outside, into(80))
  const first = receive(filter.outside)
  expect([portsOf(first), flagsOf(first)]).toEqual([[80, 50_000], RST | ACK])
})

test("datagrams are answered by the way they came, and after that port by none", () => {
  using filter = start()
  const dns = filter.add("udp 127.0.0.1 5354 53")
  const question = (to = 53) => udp(SELF, to, 50_000, { from: CLIENT, mac: OTHER })
  const answer = udp(CLIENT, 50_000, 53, { from: SELF })
  send(dns, question(54), into(53), question())
  expect(receive(filter.guest)).toEqual(readdressed(question()))
  send(filter.guest, answer)
  receive(dns)
  expect(receive(dns)).toEqual(answer)
  firstGot(filter)
  send(filter.outside, question())
  guestGot(filter, question())
  send(filter.guest, answer)
  firstGot(filter, answer)
  send(dns, question())
  receive(filter.guest)
  filter.ask("drop udp 127.0.0.1 5354 53")
  send(filter.guest, answer)
  firstGot(filter)
})

test("the guest hears of the end of a port as soon as it says something; the first outside hears nothing", () => {
  using filter = start()
  const web = filter.add(WEB)
  send(web, into(81), into(81, { source: 50_001 }))
  for (const _ of [1, 2]) receive(filter.guest)
  expect(filter.ask(`drop ${WEB}`)).toBe("ok\n")
  send(filter.guest, back(81), back(81, { source: 50_001, flags: RST }))
  const told = receive(filter.guest)
  expect([portsOf(told), flagsOf(told)]).toEqual([[50_000, 81], RST])
  guestGot(filter)
  firstGot(filter)
})

test("every passt is told of an address that the guest is about to use", () => {
  using filter = start()
  const web = filter.add(WEB)
  send(filter.guest, settling("2001:db8::7"))
  expect(receive(filter.outside)).toEqual(settling("2001:db8::7"))
  const told = receive(filter.outside)
  expect([told.subarray(0, 12), told[20]]).toEqual([Buffer.concat([Buffer.alloc(6, 0xff), hex(GUEST)]), 255])
  expect(told.subarray(22, 38)).toEqual(settling("2001:db8::7").subarray(62, 78))
  expect(receive(web)).toEqual(told)
  send(filter.guest, settling("2001:db8::7"), settling("::ffff:192.0.2.9"))
  firstGot(filter, settling("2001:db8::7"), settling("::ffff:192.0.2.9"))
  seen(filter, web, 81)
})

test("an added port's passt is told each address that the guest uses, once", () => {
  using filter = start()
  send(filter.guest, tcp(PUBLIC, 443, SYN, { from: "192.0.2.7" }), icmp("ff02::2", 133))
  for (const _ of [1, 2]) receive(filter.outside)
  const web = filter.add(WEB)
  const [v4, v6] = [receive(web), receive(web)]
  expect([v4.subarray(0, 12), v4[23]]).toEqual([Buffer.concat([Buffer.alloc(6, 0xff), hex(GUEST)]), 255])
  expect(v4.subarray(26, 30)).toEqual(Buffer.from([192, 0, 2, 7]))
  expect([v6[20], v6.length]).toEqual([255, 14 + 40 + 8])
  send(
    filter.guest,
    tcp(PUBLIC, 443, SYN, { from: "192.0.2.7" }),
    tcp(PUBLIC, 443, SYN, { from: "192.0.2.8" }),
  )
  // Its own way of asking for one has none.
  send(filter.guest, udp("255.255.255.255", 67, 68, { from: "0.0.0.0" }))
  for (const _ of [1, 2, 3]) receive(filter.outside)
  expect(receive(web).subarray(26, 30)).toEqual(Buffer.from([192, 0, 2, 8]))
  send(web, into(81))
  receive(filter.guest)
  send(filter.guest, back(81))
  receive(web)
  expect(receive(web)).toEqual(back(81))
})

test("an outside that reads nothing, and one that floods, keep nobody else waiting", () => {
  using filter = start()
  const [still, web] = [filter.add("tcp 127.0.0.1 8082 82"), filter.add(WEB)]
  send(still, into(82))
  receive(filter.guest)
  const large = Buffer.concat([back(82, { flags: ACK }), Buffer.alloc(1400)])
  large.writeUInt16BE(large.length - 14, 16)
  send(filter.guest, back(82, { flags: SYN | ACK }))
  for (let times = 0; times < 2000; times++) send(filter.guest, large)
  firstGot(filter)
  // Nothing ends a handshake whose other side has not read of it.
  guestGot(filter)

  const random = new Random(3)
  for (let round = 0; round < 300; round++) {
    const many = Array.from({ length: 60 }, (_, at) => into(81, { source: 1000 + at + random.below(100) }))
    send(web, ...many)
    send(filter.outside, MARK)
    for (let marks = 0, came = 0; marks < 1 || came < many.length; ) {
      if (receive(filter.guest).equals(MARK)) marks++
      else came++
    }
  }
  seen(filter, web, 81)
})

test("whatever bytes come by an added port, the others go on", () => {
  using filter = start()
  const web = filter.add(WEB)
  const random = new Random(5)
  const seeds = [into(81), into(81, { flags: FIN | ACK }), udp(SELF, 81), icmp(SELF), tcp("fd00::2", 81)]
  for (let round = 0; round < 3000; round++) {
    const frame = Buffer.from(seeds[random.below(seeds.length)] ?? MARK)
    for (let times = random.below(6); times > 0; times--)
      frame[random.below(frame.length)] = random.below(256)
    const from = random.below(3) === 0 ? filter.guest : web
    send(from, random.below(4) === 0 ? frame.subarray(0, random.below(frame.length)) : frame)
    if (round % 100 !== 0) continue
    send(filter.outside, MARK)
    while (!receive(filter.guest).equals(MARK));
    send(filter.guest, MARK)
    while (!receive(filter.outside).equals(MARK));
  }
  expect(filter.ask("list")).toBe(`${OPEN}added ${WEB}\nok\n`)
})
