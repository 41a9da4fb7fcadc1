import { expect, test } from "bun:test"
import { Extents } from "./extents.ts"

test("extents join, whatever the order they come in", () => {
  const extents = new Extents()
  expect(extents.missing(10)).toEqual([{ start: 0, end: 10 }])
  extents.add({ start: 6, end: 8 })
  extents.add({ start: 2, end: 4 })
  expect(extents.front).toBe(0)
  expect(extents.missing(10)).toEqual([
    { start: 0, end: 2 },
    { start: 4, end: 6 },
    { start: 8, end: 10 },
  ])
  extents.add({ start: 0, end: 2 })
  expect(extents.front).toBe(4)
  extents.add({ start: 3, end: 7 })
  expect(extents.front).toBe(8)
  expect(extents.total).toBe(8)
  extents.add({ start: 9, end: 9 })
  expect(extents.missing(10)).toEqual([{ start: 8, end: 10 }])
})

test("random extents agree with a set of bytes", () => {
  const size = 64
  for (let round = 0; round < 200; round++) {
    const extents = new Extents()
    const bytes = new Array<boolean>(size).fill(false)
    for (let step = 0; step < 8; step++) {
      const start = Math.floor(Math.random() * size)
      const end = Math.min(size, start + Math.floor(Math.random() * 16))
      extents.add({ start, end })
      bytes.fill(true, start, Math.max(start, end))
    }
    const gaps = bytes.flatMap((there, at) => (there ? [] : [at]))
    const found = extents.missing(size).flatMap(({ start, end }) => range(start, end))
    expect(found).toEqual(gaps)
    expect(extents.total).toBe(size - gaps.length)
    expect(extents.front).toBe(gaps[0] ?? size)
  }
})

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index)
}
