import { afterAll, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { writeSync } from "node:fs"
import { until } from "@ovms/testkit/until.ts"
import { ethernet, OTHER, udp } from "../../filter/test/frames.testing.ts"
import { receivedBy, SHIPPED, statusOf, tapMissing, Workshop } from "./tap.testing.ts"

// The interface that a VMM finds in a network of its own, without a VMM: what opens it does what Firecracker does.

const skip = tapMissing()
if (skip) console.log(`SKIP packages/tap/test/tap.test.ts: ${skip}`)
const shop = new Workshop()
afterAll(() => shop[Symbol.dispose]())

const ETHERNET = 14
const IP = 20
const MOST = 65_521
/** Of a network that nobody has: each is another one. */
const numbered = (number: number, size = 60) => ethernet(0x0800, Buffer.alloc(size, number))
const gone = () => until("nothing carries any more", () => shop.carriers(), { is: (all) => all.length === 0 })

test.skipIf(Boolean(skip))(`frames pass both ways, whole and with their checksums ${skip}`, async () => {
  using vmm = await shop.start("up")
  const frame = udp("192.0.2.9", 53)
  const at = ETHERNET + IP
  // The guest has put the sum of the addresses there, and nothing else.
  frame.writeUInt16BE(0x1234, at + 6)
  vmm.say(frame, { checksum: [at, 6] })
  const left = vmm.left()
  let sum = 0
  for (let i = at; i < left.length; i += 2) sum += left.readUInt16BE(i)
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16)
  // With the sum that the guest had put there, all of it is nothing (RFC 1071).
  expect((sum + 0x1234) % 0xffff).toBe(0)
  expect(left.subarray(0, at + 6)).toEqual(frame.subarray(0, at + 6))

  // One with a tag is lost: without it, as the kernel gives it, it would be another one.
  vmm.say(ethernet(0x8100, Buffer.concat([Buffer.from([0, 7, 8, 0]), Buffer.alloc(60, 2)])))
  vmm.say(numbered(3, MOST - ETHERNET))
  expect(vmm.left().equals(numbered(3, MOST - ETHERNET))).toBe(true)

  const frames = [numbered(4), ethernet(0x86dd, Buffer.alloc(60, 5), OTHER), numbered(6, MOST)]
  vmm.send(...frames)
  for (const one of frames) expect((await vmm.got()).equals(one)).toBe(true)
})

test.skipIf(Boolean(skip))(
  `nothing passes before the link is up, also not later [OVMS-NET-041] ${skip}`,
  async () => {
    using vmm = await shop.start("down")
    vmm.send(numbered(1))
    vmm.say(numbered(2))
    await until("the guest has sent it", () => receivedBy(vmm.pid), { is: (frames) => frames === 1 })
    // Nothing is left to read once it waits again.
    const [pid = ""] = shop.carriers()
    await until("it waits", () => statusOf(pid, "State"), { is: (state) => state.startsWith("S") })
    vmm.plugIn()
    vmm.send(numbered(3))
    expect(await vmm.got()).toEqual(numbered(3))
    vmm.say(numbered(4))
    expect(vmm.left()).toEqual(numbered(4))
  },
)

test.skipIf(Boolean(skip))(
  `it ends with its VMM, with its link, and by what no frame is ${skip}`,
  async () => {
    using killed = await shop.start("up")
    process.kill(killed.pid, "SIGKILL")
    expect(() => killed.left()).toThrow()
    await gone()

    using cut = await shop.start("up")
    cut.cut()
    await gone()
    expect(cut.parts.child.exitCode).toBeNull()

    using wild = await shop.start("up")
    writeSync(wild.parts.link, Buffer.from([0xff, 0xff, 0xff, 0xff]))
    expect(() => wild.left()).toThrow()
    await gone()
  },
)

test.skipIf(Boolean(skip))(`what carries has no rights, and the VMM has nothing of it ${skip}`, async () => {
  using vmm = await shop.start("down", [], SHIPPED)
  vmm.plugIn()
  const [pid = ""] = shop.carriers(SHIPPED)
  const has = ["CapEff", "Seccomp", "NoNewPrivs", "Name"].map((name) => statusOf(pid, name))
  expect(has).toEqual(["0000000000000000", "2", "1", "ovm-tap"])
  vmm.send(numbered(1))
  expect(await vmm.got()).toEqual(numbered(1))
  const links = spawnSync("ls", ["-l", `/proc/${vmm.pid}/fd`]).stdout.toString()
  expect(links).not.toMatch(/ovm-tap|packet/i)
})

test("what is no word of ovm's is refused", () => {
  for (const words of [[], ["up"], ["sideways", "true"]]) {
    const { status, stderr } = spawnSync(SHIPPED, words)
    expect(status).toBe(2)
    expect(String(stderr)).toStartWith("ovm-tap: ")
  }
})
