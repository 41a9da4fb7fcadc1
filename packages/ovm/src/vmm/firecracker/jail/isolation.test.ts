import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findBinary } from "../../program.ts"
import { isolationOf } from "./isolation.ts"
import { UIDS } from "./settings.ts"

const root = mkdtempSync(join(tmpdir(), "ovm-isolation-"))
afterAll(() => rmSync(root, { recursive: true }))
const isRoot = process.getuid?.() === 0

function program(name: string, script: string) {
  const path = join(root, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const found = findBinary(name, path, {})
  if (!found) throw new Error(`${path} is no program`)
  return found
}

const key = program("firecracker", "exit 1")
const here = (name: string, script: string) => ({
  ...{ beside: program(name, script), jail: UIDS, folder: join(root, `cache-${name}`) },
})

test("without jails, without a jailer and without root it is said so [OVMS-API-516]", async () => {
  const jailer = here("jailer", "exit 0")
  expect((await isolationOf(key, { ...jailer, jail: false })).jailed).toEqual({
    active: false,
    reason: "daemon.json has jail false",
  })
  const { jailed } = await isolationOf(key, { ...jailer, beside: undefined })
  expect(jailed.reason).toContain(isRoot ? "no jailer" : "root")
})

test.skipIf(!isRoot)(
  "a jailer that has no rights is told in its words, and asked once by a daemon [OVMS-API-516]",
  async () => {
    const asked = join(root, "asked")
    const fails = here("fails", `echo again >>${asked}; echo "Operation not permitted" >&2; exit 1`)
    for (const _ of [1, 2]) {
      const { jailed, jailer } = await isolationOf(key, fails)
      expect(jailed).toMatchObject({
        active: false,
        reason: expect.stringContaining("Operation not permitted"),
      })
      expect(jailer).toBeUndefined()
    }
    expect(await Bun.file(asked).text()).toBe("again\n")
    const works = await isolationOf(key, here("works", "exit 0"))
    expect(works.jailed).toMatchObject({
      active: true,
      reason: expect.stringContaining("1900000000 to 1900065535"),
    })
    expect(works.jailer?.uids).toEqual(UIDS)
  },
)

test.skipIf(!isRoot)(
  "where user ids are used up nobody is jailed, and that is said [OVMS-API-518]",
  async () => {
    // This process has the one that there is.
    const { jailed } = await isolationOf(key, { ...here("lacks", "exit 0"), jail: { from: 0, count: 1 } })
    expect(jailed.reason).toContain("all 1 user ids for jails, from 0 on, are taken")
  },
)
