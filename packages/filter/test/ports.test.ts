import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { writeSync } from "node:fs"
import { AllowedNow } from "../../ovm/src/network/allowed-now.ts"
import { FilterReach } from "../../ovm/src/network/filter-reach.ts"
import { type Between, receive, rest, SHIPPED, send, Workshop } from "./filter.testing.ts"
import { ACK, RST, SYN, tcp, udp } from "./frames.testing.ts"
import {
  BEGUN,
  back,
  CLIENT,
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

// Ports that come and go while the program runs: what it is asked, and answers.
setDefaultTimeout(240_000)

let workshop: Workshop
beforeAll(() => {
  workshop = new Workshop()
})
afterAll(() => workshop[Symbol.dispose]())

function start(ports?: Parameters<typeof requested>[0], program?: string): Between {
  return workshop.start(requested(ports), program)
}

test("they are listed, added and dropped, each once", () => {
  using filter = start()
  expect(filter.ask("list")).toBe(`${OPEN}ok\n`)
  const web = filter.add(WEB)
  filter.add("udp ::1 5354 53")
  expect(filter.ask("list")).toBe(`${OPEN}added ${WEB}\nadded udp ::1 5354 53\nok\n`)
  expect(filter.ask(`add ${WEB}`)).toBe("twice\n")
  expect(filter.ask("add tcp 127.0.0.1 8080 80")).toBe("twice\n")
  expect(filter.ask(`drop ${WEB}`)).toBe("ok\n")
  expect(rest(web)).toBe("")
  expect(filter.ask(`drop ${WEB}`)).toBe("unknown\n")
  expect(filter.ask("list")).toBe(`${OPEN}added udp ::1 5354 53\nok\n`)
  const ports = Array.from({ length: 63 }, (_, at) => `tcp 127.0.0.1 ${9000 + at} 81`)
  for (const port of ports) filter.add(port)
  expect(filter.ask("add tcp 127.0.0.1 9999 81")).toBe("full\n")
  for (const port of ports) expect(filter.ask(`drop ${port}`)).toBe("ok\n")
  expect(filter.ask("list")).toBe(`${OPEN}added udp ::1 5354 53\nok\n`)
})

// OVMS-API-493
test("what may be connected to changes while it runs, by what its names stand for", async () => {
  using filter = start()
  const PRIVATE = ["10.9.0.1", "10.9.0.2"] as const
  const opens = (address: string, port = 443) => {
    const syn = tcp(address, port, SYN, { from: SELF, source: 40_000 })
    return filter.through("guest", [syn, MARK]).length === 2
  }
  const clock = { ms: 0 }
  let found: readonly string[] = [PRIVATE[0]]
  const find = async () => found.map((address) => ({ network: `${address}/32`, port: 443 }))
  const allowed = new AllowedNow(["name:443"], { find, now: () => clock.ms })
  const reach = new FilterReach(allowed, async (line) => filter.ask(line).trimEnd().split("\n"))
  expect(opens(PRIVATE[0])).toBe(false)
  await reach.renew()
  expect(opens(PRIVATE[0])).toBe(true)
  expect(opens(PRIVATE[0], 80)).toBe(false)
  found = [PRIVATE[1]]
  clock.ms += 30_000
  await reach.renew()
  expect(PRIVATE.map((address) => opens(address))).toEqual([true, true])
  clock.ms += 600_001
  await reach.renew()
  expect(PRIVATE.map((address) => opens(address))).toEqual([false, true])
  // What is open already goes on.
  const goes = tcp(PRIVATE[0], 443, ACK, { from: SELF, source: 40_000 })
  expect(filter.through("guest", [goes, MARK])).toHaveLength(2)
  for (const wrong of [
    "allow",
    "allow x/32",
    "allow 10.0.0.1",
    "allow 10.0.0.1/33",
    "refuse 10.0.0.0/8 65536",
  ])
    expect(filter.ask(wrong)).toBe("no such request\n")
})

test("there is an end to what is opened, and then there is room again", () => {
  using filter = start()
  let at = 0
  const rule = () => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}/32`
  while (filter.ask(`allow ${rule()}`) === "ok\n") at++
  expect(at).toBeGreaterThan(8000)
  expect(filter.ask(`allow ${rule()}`)).toBe("full\n")
  expect(filter.ask("allow 10.0.0.0/32")).toBe("ok\n")
  expect(filter.ask("refuse 10.0.0.0/32")).toBe("ok\n")
  expect(filter.ask("refuse 10.0.0.0/32")).toBe("ok\n")
  expect(filter.ask(`allow ${rule()}`)).toBe("ok\n")
})

test.each([
  "",
  "add",
  "add tcp 127.0.0.1 8081",
  "add tcp localhost 8081 81",
  "add icmp 127.0.0.1 8081 81",
  "add tcp 127.0.0.1 8081 65536",
  "add tcp 127.0.0.1 0 81",
  "add tcp 127.0.0.1 8081 81 82",
  "list all",
  "drop tcp 127.0.0.1 808x 80",
])("%p is no request", (line) => {
  using filter = start()
  expect(filter.ask(line)).toBe("no such request\n")
  expect(filter.ask("list")).toBe(`${OPEN}ok\n`)
})

test("who says nothing, too much, or goes away half way keeps nobody else waiting", () => {
  using filter = start()
  for (let times = 0; times < 40; times++) filter.dial("")
  for (let times = 0; times < 40; times++) filter.hangUp(filter.dial("lis"))
  expect(rest(filter.dial("x".repeat(85)))).toBe("")
  expect(rest(filter.dial("list\nlist\n"))).toBe("")
  expect(rest(filter.dial("li\0st\n"))).toBe("")
  expect(filter.ask("list")).toBe(`${OPEN}ok\n`)
  expect(filter.through("guest", [tcp(PUBLIC, 443), MARK])).toHaveLength(2)
})

test("the end of one outside is its port's alone, and whoever watches hears of it", () => {
  using filter = start()
  const [web, other] = [filter.add(WEB), filter.add("tcp 127.0.0.1 8082 82")]
  const watch = filter.watch()
  filter.hangUp(web)
  expect(rest(watch)).toBe("")
  expect(filter.ask("list")).toBe(`${OPEN}added tcp 127.0.0.1 8082 82\nok\n`)
  // What no frame is, too.
  writeSync(other, Buffer.from([0, 1, 0x10, 1]))
  expect(rest(other)).toBe("")
  expect(filter.ask("list")).toBe(`${OPEN}ok\n`)
  expect(filter.through("guest", [tcp(PUBLIC, 443), MARK])).toHaveLength(2)
})

test("one that the first outside has open is held: nobody gets in any more, who is in stays, and it opens again", () => {
  using filter = start()
  send(filter.outside, into(80))
  guestGot(filter, into(80))
  expect(filter.ask("drop tcp 127.0.0.1 8080 80")).toBe("held\nok\n")
  expect(filter.ask("drop tcp 127.0.0.1 8080 80")).toBe("unknown\n")
  expect(filter.ask("list")).toBe(`${OPEN.replace("open tcp 127.0.0.1 8080", "held tcp 127.0.0.1 8080")}ok\n`)
  send(filter.outside, into(80, { source: 50_001 }))
  const refused = receive(filter.outside)
  expect([portsOf(refused), flagsOf(refused)]).toEqual([[80, 50_001], RST | ACK])
  send(filter.outside, into(80, { flags: ACK }), into(22))
  guestGot(filter, into(80, { flags: ACK }), into(22))

  // Datagrams have no beginning.
  const question = udp(SELF, 53, 50_000, { from: CLIENT })
  send(filter.outside, question)
  guestGot(filter, question)
  expect(filter.ask("drop udp 0.0.0.0 5353 53")).toBe("held\nok\n")
  send(filter.outside, question)
  guestGot(filter)

  // By two ports of the host that lead to one of the guest comes the same.
  expect(filter.ask("drop tcp 0.0.0.0 8022 22")).toBe("shared\n")
  expect(filter.ask("add udp 0.0.0.0 5353 53")).toBe("held\nok\n")
  expect(filter.ask("add tcp 127.0.0.1 8080 80")).toBe("held\nok\n")
  send(filter.outside, into(80, { source: 50_002 }), question)
  guestGot(filter, into(80, { source: 50_002 }), question)
  expect(filter.ask("list")).toBe(`${OPEN}ok\n`)
})

test("every address is two ports, of which one family comes by each", () => {
  const every = ["0.0.0.0", "::"].map(
    (address) => ({ protocol: "tcp", address, host: 80, guest: 80 }) as const,
  )
  using filter = start(every)
  expect(filter.ask("drop tcp :: 80 80")).toBe("held\nok\n")
  const v6 = tcp("fd00::2", 80, SYN, { from: "fd00::9", source: 50_000 })
  send(filter.outside, v6, into(80))
  guestGot(filter, into(80))
  expect(receive(filter.outside).subarray(12, 14)).toEqual(Buffer.from([0x86, 0xdd]))
})

test("two hundred of them leave no descriptor", () => {
  using filter = start()
  const kept = filter.add("tcp 127.0.0.1 8082 82")
  const before = workshop.descriptors()
  for (let times = 0; times < 100; times++) {
    filter.hangUp(filter.add(WEB))
    while (filter.ask("list").includes(WEB));
    filter.add(WEB)
    expect(filter.ask(`drop ${WEB}`)).toBe("ok\n")
  }
  expect(workshop.descriptors()).toBeLessThanOrEqual(before)
  seen(filter, kept, 82)
})

test("confined, it does all of this", () => {
  using filter = start(BEGUN, SHIPPED)
  const web = filter.add(WEB)
  const watch = filter.watch()
  send(web, into(81))
  expect(receive(filter.guest)).toEqual(readdressed(into(81)))
  send(filter.guest, back(81, { flags: SYN | ACK }))
  for (const _ of [1, 2]) receive(web)
  expect(flagsOf(receive(filter.guest))).toBe(ACK)
  expect(filter.ask(`drop ${WEB}`)).toBe("ok\n")
  expect(rest(watch)).toBe("")
  expect(filter.ask("drop tcp 127.0.0.1 8080 80")).toBe("held\nok\n")
  expect(filter.through("guest", [tcp(PUBLIC, 443), MARK])).toHaveLength(2)
})
