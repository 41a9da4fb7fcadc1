import { describe, expect, test } from "bun:test"
import { fitLine } from "./fit.ts"
import { listing } from "./lines.ts"
import { type Column, table } from "./table.ts"

const NAMES: readonly Column[] = [{ heading: "NAME" }, { heading: "SIZE" }]

test("columns are as wide as their widest cell, and nothing trails", () => {
  const rows = [
    ["debian", "1 MiB"],
    ["a", ""],
  ]
  expect(table(NAMES, rows)).toBe("NAME    SIZE\ndebian  1 MiB\na\n")
})

// OVMS-SEC-021
test("cells are made printable", () => {
  expect(table(NAMES, [["a\x1b[2J", "1"]])).toContain("a\\u001b[2J  1")
})

describe("in too little room", () => {
  const columns: readonly Column[] = [
    { heading: "NAME", least: 8, keep: "end" },
    { heading: "STATE", least: 6 },
    { heading: "VMM", spare: 2 },
    { heading: "AGE", spare: 1 },
  ]
  const rows = [["registry.example.com/debian", "running (unreachable)", "qemu/kvm", "2 days ago"]]
  const lineIn = (room: number) => table(columns, rows, room).split("\n")[1]

  test("the widest cells are cut first, at the end that says less", () => {
    expect(lineIn(72)).toBe("registry.example.com/debian  running (unreachable)  qemu/kvm  2 days ago")
    expect(lineIn(60)).toBe("…xample.com/debian  running (unreacha…  qemu/kvm  2 days ago")
  })

  test("then columns are left out, in their order", () => {
    expect(lineIn(34)).toBe("…om/debian  running (…  2 days ago")
    expect(lineIn(20)).toBe("…m/debian  running …")
  })

  test("and no line is ever longer", () => {
    for (let room = 1; room < 80; room++)
      for (const line of table(columns, rows, room).split("\n"))
        expect([...line].length).toBeLessThanOrEqual(room)
  })
})

test("pairs without a value are left out, and long values go on below themselves", () => {
  const pairs = [
    ["id", "1"],
    ["digest", undefined],
    ["state", "running as it did before the host"],
  ] as const
  expect(listing(pairs)).toBe("id     1\nstate  running as it did before the host\n")
  expect(listing(pairs, 30)).toBe("id     1\nstate  running as it did\n       before the host\n")
})

test("a line of a tree has short digests where it is too long, then goes on below itself", () => {
  const digest = `sha256:${"0123456789ab".padEnd(64, "0")}`
  const line = `├─ kernel  ${digest}, for example.com`
  expect(fitLine(line, 100)).toEqual([line])
  expect(fitLine(line, 60)).toEqual(["├─ kernel  sha256:0123456789ab, for example.com"])
  expect(fitLine(line, 36)).toEqual(["├─ kernel sha256:0123456789ab, for", "│    example.com"])
})
