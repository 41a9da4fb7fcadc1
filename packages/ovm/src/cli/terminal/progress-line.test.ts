import { describe, expect, test } from "bun:test"
import { Meter } from "./meter.ts"
import { type Item, progressLine } from "./progress-line.ts"

const MIB = 1 << 20

function item(more: Partial<Item> = {}): Item {
  return {
    name: "disk0.qcow2",
    total: 100 * MIB,
    began: 0,
    meter: new Meter(),
    phase: "transfer",
    done: 0,
    ...more,
  }
}

describe("the speed", () => {
  test("is that of late, and falls when nothing comes", () => {
    const meter = new Meter()
    for (let second = 0; second <= 10; second++) meter.note(second * 10 * MIB, second * 1000)
    expect(meter.speed(10_000)).toBe(10 * MIB)
    expect(meter.left(200 * MIB, 10_000)).toBe(10)
    expect(meter.speed(15_000)).toBeLessThan(6 * MIB)
  })

  test("does not count what an earlier attempt left", () => {
    const meter = new Meter()
    meter.note(80 * MIB, 0)
    expect(meter.speed(0)).toBeUndefined()
    meter.note(81 * MIB, 1000)
    expect(meter.speed(1000)).toBe(MIB)
  })
})

describe("a line", () => {
  test("says how much, how fast and how long still", () => {
    const meter = new Meter()
    meter.note(0, 0)
    meter.note(25 * MIB, 5000)
    const line = progressLine(item({ meter, done: 25 * MIB }), 5000, 120)
    expect(line).toBe(
      `disk0.qcow2              ${"█".repeat(6)}${"░".repeat(18)} 25%  25 MiB of 100 MiB  5 MiB/s  15 s left`,
    )
  })

  test("of what is told of at its end only says since when", () => {
    expect(progressLine(item(), 500, 120)).toEndWith("0%  0 B of 100 MiB")
    expect(progressLine(item(), 12_000, 120)).toEndWith("0%  0 B of 100 MiB  for 12 s")
  })

  test("that is over has the speed of the whole", () => {
    const done = { phase: "done", done: 100 * MIB } as const
    expect(progressLine(item({ ...done, ended: 10_000 }), 20_000, 120)).toEndWith(
      "100%  100 MiB of 100 MiB  10 MiB/s",
    )
    expect(progressLine(item({ ...done, ended: 100 }), 20_000, 120)).toEndWith("100%  100 MiB of 100 MiB")
  })

  test("of what was not transferred has neither bar nor speed", () => {
    const there = progressLine(item({ phase: "exists", done: 100 * MIB }), 1000, 120)
    expect(there).toBe("disk0.qcow2              100 MiB, there already")
    const mounted = progressLine(item({ phase: "mounted", done: 100 * MIB }), 1000, 120)
    expect(mounted).toBe("disk0.qcow2              100 MiB, mounted from another repository")
  })

  test("fits, without a bar if need be", () => {
    const meter = new Meter()
    meter.note(0, 0)
    meter.note(25.3 * MIB, 5000)
    for (let columns = 10; columns < 120; columns++)
      expect([...progressLine(item({ meter, done: 25.3 * MIB }), 5000, columns)].length).toBeLessThanOrEqual(
        columns,
      )
    const line = progressLine(item({ meter, done: 25.3 * MIB }), 5000, 59)
    expect(line).toBe("disk0.qcow2 25%  25.3 MiB of 100 MiB  5.1 MiB/s  15 s left")
  })
})
