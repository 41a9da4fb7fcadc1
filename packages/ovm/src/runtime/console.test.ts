import { afterAll, beforeAll, expect, test } from "bun:test"
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { instanceConsole } from "./console.ts"
import type { Instance } from "./instance.ts"

let directory: string
let instance: Instance
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ovm-console-"))
  instance = { directory, ended: new Promise<void>(() => {}), followers: 0 } as Instance
  const note = Buffer.alloc(16)
  note.writeBigUInt64LE(BigInt(Date.now() - 60_000), 8)
  await writeFile(join(directory, "times.0"), note)
  await writeFile(join(directory, "console.0"), "a minute ago\n")
})
afterAll(() => rm(directory, { recursive: true }))

// OVMS-API-075
test.each([
  ["tomorrow", 86_400_000, ""],
  ["an hour ago", -3_600_000, "a minute ago\nmeanwhile\n"],
])("what a guest writes while it is asked what came since %s", async (_, ms, expected) => {
  const bytes = await instanceConsole(instance, { since: new Date(Date.now() + ms).toISOString() })
  await appendFile(join(directory, "console.0"), "meanwhile\n")
  expect(Buffer.concat(await Array.fromAsync(bytes)).toString()).toBe(expected)
  await writeFile(join(directory, "console.0"), "a minute ago\n")
})
