import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { OvmError } from "../../../errors.ts"
import { findQemu } from "../find.ts"
import { MAX_STATE, PAGE, Ram, Section } from "./format.ts"
import type { PageSink } from "./head.ts"
import { RamWriter } from "./ram-file.ts"
import { record } from "./record.testing.ts"
import { type DeviceState, StreamSplitter } from "./splitter.ts"

const u8 = (value: number) => Buffer.of(value)
function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
const name = (text: string) => Buffer.concat([u8(text.length), Buffer.from(text)])
const block = { name: "ram0", size: 4 * PAGE }
const bios = { name: "pc.bios", size: PAGE }

/** What QEMU 10 says before the last of RAM. */
const SWITCHOVER = [u8(Section.COMMAND), u16(11), u16(0)]

/** The parts of a small stream, each of which a test may exchange. */
const parts = {
  header: [u32(0x5145564d), u32(3)],
  configuration: [u8(Section.CONFIGURATION), u32(10), Buffer.from("pc-q35-7.2")],
  capabilities: [
    ...[u8(Section.SUBSECTION), name("configuration/capabilities"), u32(1)],
    ...[u32(1), name("x-ignore-shared")],
  ],
  start: [u8(Section.START), u32(2), name("ram"), u32(0), u32(4)],
  blocks: [
    u64((block.size + bios.size) | Ram.MEM_SIZE),
    ...[name(block.name), u64(block.size), u64(0), name(bios.name), u64(bios.size), u64(0xfffff000)],
    u64(Ram.EOS),
  ],
  startFooter: [u8(Section.FOOTER), u32(2)],
  part: [u8(Section.PART), u32(2)],
  pages: [
    ...[u64(Ram.PAGE), name(block.name), Buffer.alloc(PAGE, 1)],
    ...[u64(PAGE | Ram.ZERO | Ram.CONTINUE), u8(0)],
    ...[u64(Ram.PAGE), name(bios.name), Buffer.alloc(PAGE, 2)],
    ...[u64(Ram.ZERO | Ram.CONTINUE), u8(0)],
    ...[u64((3 * PAGE) | Ram.PAGE), name(block.name), Buffer.alloc(PAGE, 3)],
    u64(Ram.EOS),
  ],
  partFooter: [u8(Section.FOOTER), u32(2)],
  end: [u8(Section.END), u32(2), u64(PAGE | Ram.PAGE | Ram.CONTINUE), Buffer.alloc(PAGE, 4)],
  endZero: [u64(Ram.ZERO), name(block.name), u8(0), u64(Ram.EOS), u8(Section.FOOTER), u32(2)],
  device: [u8(Section.FULL), u32(7), name("timer"), u32(0), u32(2), Buffer.alloc(24, 5)],
  deviceFooter: [u8(Section.FOOTER), u32(7)],
  eof: [u8(Section.EOF), u8(Section.DESCRIPTION)],
  description: describedAs({
    page_size: 4096,
    devices: [
      {
        ...{ name: "timer", instance_id: 0, vmsd_name: "timer", version: 2 },
        fields: [{ name: "a", size: 2, array_len: 2 }],
        subsections: [{ vmsd_name: "timer/x", version: 1, fields: [{ name: "b", size: 7 }] }],
      },
    ],
  }),
}
function describedAs(value: unknown): Buffer[] {
  const text = Buffer.from(JSON.stringify(value))
  return [u32(text.length), text]
}
const streamOf = (changed: Partial<typeof parts> = {}) =>
  Buffer.concat(Object.values({ ...parts, ...changed }).flat())

/** RAM in memory. */
class Pages implements PageSink {
  readonly ram: Buffer
  constructor(size: number) {
    this.ram = Buffer.alloc(size)
  }
  page(offset: number, bytes: Uint8Array): void {
    this.ram.set(bytes, offset)
  }
  zero(offset: number): void {
    this.ram.fill(0, offset, offset + PAGE)
  }
}

function split(stream: Uint8Array, sizes: () => number, of = block): { ram: Buffer; state: DeviceState } {
  const pages = new Pages(of.size)
  const splitter = new StreamSplitter(of, pages)
  for (let at = 0; at < stream.length; ) {
    const size = sizes()
    splitter.push(stream.subarray(at, at + size))
    at += size
  }
  return { ram: pages.ram, state: splitter.end() }
}
const whole = (stream: Uint8Array, of = block) => split(stream, () => stream.length || 1, of)
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

function refusalOf(work: () => unknown): OvmError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof OvmError) return thrown
    throw thrown
  }
  throw new Error("was not refused")
}

describe("a migration stream", () => {
  const stream = streamOf()
  const { ram, state } = whole(stream)

  test("falls apart into pages and state", () => {
    expect([0, 1, 2, 3].map((page) => ram[page * PAGE])).toEqual([0, 4, 0, 3])
    expect(state.configuration).toEqual({ machineType: "pc-q35-7.2", capabilities: ["x-ignore-shared"] })
    const at = state.bytes.indexOf(Buffer.alloc(24, 5))
    expect(state.devices).toEqual([{ name: "timer", instance: 0, version: 2, at, size: 24 }])
    // The other block's pages stay, the later one with reference to the earlier one.
    expect(state.bytes.length).toBe(stream.length - 3 * (PAGE + 8) - 2 * 9 - 3 * 5)
    expect(state.bytes.includes(Buffer.alloc(PAGE, 2))).toBe(true)
  })

  test("of QEMU 10 keeps the start of its switchover, which that QEMU reads", () => {
    const { ram: same, state: ten } = whole(streamOf({ end: [...SWITCHOVER, ...parts.end] }))
    expect(same.equals(ram)).toBe(true)
    expect(ten.bytes.length).toBe(state.bytes.length + 5)
    expect(ten.bytes.includes(Buffer.concat([...SWITCHOVER, u8(Section.END)]))).toBe(true)
    expect(whole(ten.bytes).state.bytes.equals(ten.bytes)).toBe(true)
  })

  test("comes out the same wherever it is cut", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const sizes = [cut, stream.length - cut]
      const cutOne = split(stream, () => sizes.shift() ?? 0)
      if (!cutOne.ram.equals(ram) || !cutOne.state.bytes.equals(state.bytes)) throw new Error(`cut at ${cut}`)
    }
    const bytewise = split(stream, () => 1)
    expect(bytewise.ram.equals(ram)).toBe(true)
    expect(bytewise.state.bytes.equals(state.bytes)).toBe(true)
  })

  test("its state is a stream without pages, which comes out as it went in", () => {
    const again = whole(state.bytes)
    expect(again.state.bytes.equals(state.bytes)).toBe(true)
    expect(again.ram.every((byte) => byte === 0)).toBe(true)
  })

  test("is refused when it is cut short, anywhere, or goes on", () => {
    for (let length = 0; length < stream.length; length++) {
      const error = refusalOf(() => whole(stream.subarray(0, length)))
      if (error.code !== "OVM_VMM_FAILED") throw new Error(`${length}: ${error.message}`)
    }
    expect(refusalOf(() => whole(Buffer.concat([stream, u8(0)]))).message).toContain("description")
  })

  const wrong: Record<string, [Partial<Record<keyof typeof parts, Buffer[]>>, string]> = {
    "another magic number": [{ header: [u32(1), u32(3)] }, "magic"],
    "another version": [{ header: [u32(0x5145564d), u32(4)] }, "version 4"],
    "no configuration": [{ configuration: [], capabilities: [] }, "configuration is missing"],
    "an endless machine type": [{ configuration: [u8(7), u32(0xffffffff)] }, "machine type of 4294967295"],
    "an unknown capability": [
      { capabilities: [u8(5), name("configuration/capabilities"), u32(1), u32(1), name("mapped-ram")] },
      '"mapped-ram"',
    ],
    "endless capabilities": [
      { capabilities: [u8(5), name("configuration/capabilities"), u32(1), u32(0xffffffff)] },
      "4294967295 capabilities",
    ],
    "an unknown subsection": [
      { capabilities: [u8(5), name("configuration/x"), u32(1)] },
      '"configuration/x"',
    ],
    "a subsection of another version": [
      { capabilities: [u8(5), name("configuration/capabilities"), u32(2)] },
      "version 2 of configuration/capabilities",
    ],
    "other page sizes": [
      { capabilities: [u8(5), name("configuration/target-page-bits"), u32(1), u32(14)] },
      "2^14",
    ],
    "another iterable section": [{ start: [u8(1), u32(2), name("block"), u32(0), u32(4)] }, '"block"'],
    "another version of RAM": [{ start: [u8(1), u32(2), name("ram"), u32(0), u32(5)] }, "version 5"],
    "a part before the start": [{ start: [u8(2), u32(2)] }, "out of order"],
    "a second start": [{ part: parts.start }, "out of order"],
    "a part of another section": [{ part: [u8(2), u32(3)] }, "section 3"],
    "another footer": [{ partFooter: [u8(0x7e), u32(3)] }, "footer"],
    "no footer": [{ partFooter: [] }, "footer"],
    "a command": [{ part: [u8(8), u16(2), u16(4), u32(0), ...parts.part] }, "command 2"],
    "a second start of the switchover": [
      { part: [...SWITCHOVER, ...SWITCHOVER, ...parts.part] },
      "command 11",
    ],
    "a start of the switchover with bytes": [
      { part: [u8(8), u16(11), u16(4), u32(0), ...parts.part] },
      "command 11 of 4 bytes",
    ],
    "an unknown section": [{ part: [u8(9)] }, "type 0x9"],
    "a device before the end of RAM": [{ part: parts.device }, "type 0x4"],
    "an end before the devices": [{ device: [], deviceFooter: [], eof: [u8(0)] }, "type 0x0"],
    "RAM after its end": [{ device: [u8(2), u32(2)] }, "out of order"],
    "no list of blocks": [{ blocks: [u64(Ram.EOS)] }, "no list"],
    "a second list of blocks": [{ pages: parts.blocks }, "second list"],
    "RAM of another size": [
      { blocks: [u64(PAGE | Ram.MEM_SIZE), name(block.name), u64(PAGE), u64(0), u64(Ram.EOS)] },
      "has 4096 bytes, not 16384",
    ],
    "RAM that is missing": [
      { blocks: [u64(PAGE | Ram.MEM_SIZE), name("pc.ram"), u64(PAGE), u64(0), u64(Ram.EOS)] },
      "has no bytes",
    ],
    "a block above the total": [
      { blocks: [u64(PAGE | Ram.MEM_SIZE), name(block.name), u64(2 * PAGE), u64(0), u64(Ram.EOS)] },
      "RAM block ram0 of 8192 bytes",
    ],
    "a page of an unknown block": [
      { pages: [u64(Ram.PAGE), name("x"), Buffer.alloc(PAGE)] },
      "unknown RAM block",
    ],
    "a first page without a block": [{ pages: [u64(Ram.PAGE | Ram.CONTINUE)] }, "unknown RAM block"],
    "a page outside its block": [
      { pages: [u64((4 * PAGE) | Ram.PAGE), name(block.name)] },
      "page 0x4000 is outside RAM block ram0",
    ],
    "a page far outside": [{ pages: [u64(2 ** 52 + Ram.PAGE), name(block.name)] }, "outside"],
    "a page that is filled with something": [{ pages: [u64(Ram.ZERO), name(block.name), u8(7)] }, "0x7"],
    "a device of another name": [
      { device: [u8(4), u32(7), name("timex"), u32(0), u32(2), Buffer.alloc(24)] },
      "timer",
    ],
    "a device of another version": [
      { device: [u8(4), u32(7), name("timer"), u32(0), u32(3), Buffer.alloc(24)] },
      "section of timer",
    ],
    "a longer device": [{ device: [...parts.device, u8(0)] }, "timer has no proper footer"],
    "a device too much": [
      { deviceFooter: [...parts.deviceFooter, ...parts.device, ...parts.deviceFooter] },
      "follow",
    ],
    "a device too few": [{ device: [u8(4)], deviceFooter: [] }, "timer is cut off"],
    "a description that is no JSON": [{ description: [u32(1), Buffer.from("{")] }, "no JSON"],
    "a description without devices": [{ description: describedAs({ page_size: 4096 }) }, "no devices"],
    "a description of other pages": [
      { description: describedAs({ page_size: 1, devices: [] }) },
      "page size",
    ],
    "a device without a size": [
      { description: describedAs({ page_size: 4096, devices: [{ name: "timer", instance_id: 0 }] }) },
      "no size",
    ],
    "a negative size": [
      {
        description: describedAs({ page_size: 4096, devices: [{ name: "timer", instance_id: 0, size: -1 }] }),
      },
      "no size",
    ],
    "a bottomless description": [
      { description: describedAs({ page_size: 4096, devices: [deep(40)] }) },
      "too deep",
    ],
  }
  function deep(levels: number): object {
    const rest = levels > 0 ? { subsections: [deep(levels - 1)] } : {}
    return { name: "timer", instance_id: 0, vmsd_name: "x", fields: [], ...rest }
  }
  for (const [what, [changed, words]] of Object.entries(wrong))
    test(`${what} is refused`, () => {
      const error = refusalOf(() => whole(streamOf(changed as Partial<typeof parts>)))
      expect(error).toMatchObject({ code: "OVM_VMM_FAILED", message: expect.stringContaining(words) })
    })

  test("every flag that is not known is refused", () => {
    for (let bit = 0; bit < 12; bit++) {
      const flag = 1 << bit
      if (flag === Ram.CONTINUE) continue
      const pages = [u64(Ram.PAGE | flag | (flag === Ram.PAGE ? Ram.ZERO : 0)), ...parts.pages.slice(1)]
      expect(refusalOf(() => whole(streamOf({ pages }))).message).toContain("flags 0x")
    }
  })

  test("endless state ends at the bound", () => {
    const splitter = new StreamSplitter(block, new Pages(block.size))
    splitter.push(streamOf({ eof: [], description: [] }))
    const chunk = Buffer.alloc(1 << 20)
    const error = refusalOf(() => {
      for (let sent = 0; sent <= MAX_STATE; sent += chunk.length) splitter.push(chunk)
    })
    expect(error.message).toContain(`${MAX_STATE}`)
  })
})

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))
describe.skipIf(missing !== "")(`a stream of QEMU's own ${missing}`, () => {
  const root = mkdtempSync(join(tmpdir(), "ovm-stream-"))
  const size = 16 << 20
  const real = { name: "ram0", size }
  let stream: Buffer
  let expected: { ram: Buffer; state: DeviceState }
  beforeAll(async () => {
    stream = await record(join(root, "machine"), await buildGuest(), size)
    expected = whole(stream, real)
  })
  afterAll(() => rmSync(root, { recursive: true }))

  test("is understood to its end", () => {
    const { configuration, devices, bytes } = expected.state
    expect(configuration.machineType).toMatch(/^pc-q35-\d/)
    expect(devices.map((device) => device.name)).toContainValues(["cpu", "serial", "vmgenid", "globalstate"])
    expect(bytes.length).toBeLessThan(1 << 20)
    expect(expected.ram.includes("GUEST-READY")).toBe(true)
  })

  test("comes out the same whatever the chunks", () => {
    for (const sizes of [1, 7, 4096, 65_521]) {
      const again = split(stream, () => sizes, real)
      expect(digest(again.ram)).toBe(digest(expected.ram))
      expect(again.state.bytes.equals(expected.state.bytes)).toBe(true)
    }
  })

  test("becomes a sparse file", () => {
    const path = join(root, "ram")
    const file = new RamWriter(path, size)
    const splitter = new StreamSplitter(real, file)
    splitter.push(stream)
    file.flush()
    file.close()
    expect(digest(readFileSync(path))).toBe(digest(expected.ram))
    expect(file.data).toBeLessThan(1 << 20)
    expect(statSync(path).blocks * 512).toBeLessThanOrEqual(file.data + (64 << 10))
    expect(refusalOf(() => new RamWriter(join(path, "below-a-file"), size)).code).toBe("OVM_FILE_UNREADABLE")
  })

  test("damaged, is refused or passes, but does nothing else", () => {
    let seed = 1
    const random = (below: number) => {
      seed = (seed * 48_271) % 0x7fffffff
      return seed % below
    }
    for (let round = 0; round < 300; round++) {
      const copy = Buffer.from(stream)
      for (let flips = random(4); flips >= 0; flips--) {
        // Half of them where the structure is: at the start and in the description.
        const at = random(2) === 0 ? random(1000) : random(copy.length)
        copy[at] = (copy[at] ?? 0) ^ (1 << random(8))
      }
      const cut = random(3) === 0 ? copy.subarray(0, random(copy.length)) : copy
      try {
        split(cut, () => 1 + random(100_000), real)
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(OvmError)
      }
    }
  })
})
