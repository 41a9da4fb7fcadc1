import { expect, test } from "bun:test"
import { AllowedNow } from "./allowed-now.ts"

// OVMS-NET-022

function world(first: Readonly<Record<string, readonly string[] | undefined>>) {
  const answers = { ...first }
  const clock = { ms: 0 }
  const find = async (entry: string) => {
    const found = answers[entry]
    if (!found) throw new Error(`${entry} has no address`)
    return found.map((network) => ({ network }))
  }
  const allowed = new AllowedNow(Object.keys(first), { find, now: () => clock.ms })
  const open = () => allowed.networks.map(({ network }) => network).sort()
  const after = async (ms: number) => {
    clock.ms += ms
    await allowed.renew()
    return open()
  }
  return { answers, allowed, open, after }
}

test("what a name stands for by now is open, and what it stood for stays so for ten minutes", async () => {
  const { answers, allowed, open, after } = world({ name: ["198.51.100.1/32"], other: ["203.0.113.0/24"] })
  await allowed.begin()
  expect(open()).toEqual(["198.51.100.1/32", "203.0.113.0/24"])
  answers.name = ["198.51.100.2/32"]
  expect(await after(1000)).toEqual(["198.51.100.1/32", "203.0.113.0/24"])
  const both = ["198.51.100.1/32", "198.51.100.2/32", "203.0.113.0/24"]
  expect(await after(30_000)).toEqual(both)
  expect(await after(560_000)).toEqual(both)
  expect(await after(60_000)).toEqual(["198.51.100.2/32", "203.0.113.0/24"])
})

test("a name without an answer keeps what it had, however long that takes", async () => {
  const { answers, allowed, after } = world({ name: ["198.51.100.1/32"] })
  await allowed.begin()
  answers.name = undefined
  expect(await after(3_600_000)).toEqual(["198.51.100.1/32"])
  answers.name = ["198.51.100.2/32"]
  expect(await after(30_000)).toEqual(["198.51.100.2/32"])
})

test("a name that answers with others each time has 64 of them open, the latest", async () => {
  const { answers, allowed, after } = world({ name: [] })
  await allowed.begin()
  for (let at = 0; at < 100; at++) {
    answers.name = [`198.51.100.${at}/32`]
    expect((await after(30_000)).includes(`198.51.100.${at}/32`)).toBe(true)
  }
  answers.name = Array.from({ length: 100 }, (_, at) => `203.0.113.${at}/32`)
  const found = await after(30_000)
  expect(found).toHaveLength(64)
  expect(found).not.toContain("198.51.100.99/32")
})

test("a list with a name that has no address is refused at first", async () => {
  const { allowed } = world({ name: undefined })
  expect(allowed.begin()).rejects.toThrow("name has no address")
})
