import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { UIDS } from "../vmm/firecracker/jail/settings.ts"
import { DEFAULTS, LIMITS } from "./limits.ts"
import schema from "./settings.schema.json" with { type: "json" }
import { readDaemonSettings } from "./settings.ts"

let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-settings-"))
  file = join(folder, "daemon.json")
})
afterAll(() => rm(folder, { recursive: true }))

async function read(value: unknown) {
  await writeFile(file, typeof value === "string" ? value : JSON.stringify(value))
  return await readDaemonSettings(file)
}

test("without a file everything is as specified; what is set stands beside that", async () => {
  expect(await readDaemonSettings(join(folder, "none.json"))).toEqual({ limits: LIMITS, defaults: DEFAULTS })
  expect(await read({ $schema: "x", limits: { running: 3 }, vmms: ["qemu"] })).toEqual({
    limits: { ...LIMITS, running: 3 },
    defaults: DEFAULTS,
    vmms: ["qemu"],
  })
})

test("each limit goes as far as the schema says", async () => {
  expect(Object.keys(schema.properties.limits.properties).sort()).toEqual(Object.keys(LIMITS).sort())
  const { machine: _, ...properties } = schema.properties.limits.properties
  for (const [name, { minimum, maximum }] of Object.entries(properties)) {
    for (const value of [minimum, maximum])
      expect((await read({ limits: { [name]: value } })).limits).toEqual({ ...LIMITS, [name]: value })
    for (const value of [minimum - 1, maximum + 1, 1.5, "1", null]) {
      const error = await refusal(read({ limits: { [name]: value } }))
      expect([error.code, error.message]).toEqual([
        "OVM_SETTINGS_INVALID",
        expect.stringContaining(`${file}: limits.${name}`),
      ])
    }
  }
})

test("what a machine may have at most goes as far as the schema says", async () => {
  const { properties } = schema.properties.limits.properties.machine
  for (const [name, { minimum, maximum }] of Object.entries(properties)) {
    for (const value of [minimum, maximum])
      expect((await read({ limits: { machine: { [name]: value } } })).limits).toEqual({
        ...LIMITS,
        machine: { [name]: value },
      })
    for (const value of [minimum / 2, maximum + 1, "1", null]) {
      const error = await refusal(read({ limits: { machine: { [name]: value } } }))
      expect(error.message).toContain(`${file}: limits.machine.${name}`)
    }
  }
})

test("each default goes as far as the schema says, memory in steps of 1 MiB", async () => {
  expect(Object.keys(schema.properties.defaults.properties).sort()).toEqual(
    [...Object.keys(DEFAULTS), "cpuQuota"].sort(),
  )
  const { network, cpuQuota, ...properties } = schema.properties.defaults.properties
  for (const mode of network.enum)
    expect((await read({ defaults: { network: mode } })).defaults).toMatchObject({ network: mode })
  for (const [name, { minimum, maximum }] of Object.entries(properties)) {
    for (const value of [minimum, maximum])
      expect((await read({ defaults: { [name]: value } })).defaults).toEqual({ ...DEFAULTS, [name]: value })
    for (const value of [minimum - 1, maximum + 1, 1.5, "1", null]) {
      const error = await refusal(read({ defaults: { [name]: value } }))
      expect(error.message).toContain(`${file}: defaults.${name}`)
    }
  }
  for (const value of [cpuQuota.minimum, 1.5, cpuQuota.maximum])
    expect((await read({ defaults: { cpuQuota: value } })).defaults).toEqual({ ...DEFAULTS, cpuQuota: value })
  for (const value of [0, cpuQuota.minimum / 2, cpuQuota.maximum + 1, "1", null])
    expect((await refusal(read({ defaults: { cpuQuota: value } }))).message).toContain(
      `${file}: defaults.cpuQuota: it is not a number from 0.01 to 255`,
    )
  expect((await refusal(read({ defaults: { memory: (1 << 20) + 1 } }))).message).toContain(
    "in steps of 1048576",
  )
})

test.each([
  ["{", "it is not JSON"],
  ["[]", "it is not an object"],
  ['{"limit":{}}', "limit: there is no such field"],
  ['{"limits":[]}', "limits: it is not an object"],
  ['{"limits":{"machines":1}}', "limits.machines: there is no such field"],
  ['{"limits":{"machine":[]}}', "limits.machine: it is not an object"],
  ['{"limits":{"machine":{"cpus":1}}}', "limits.machine.cpus: there is no such field"],
  ['{"limits":{"__proto__":1}}', "limits.__proto__: there is no such field"],
  ['{"defaults":{"network":"host"}}', "defaults.network: it is neither user nor none"],
  ['{"defaults":1}', "defaults: it is not an object"],
  ['{"defaults":{"cpus":1}}', "defaults.cpus: there is no such field"],
  ['{"vmms":[]}', "vmms: it is not a list of names"],
  ['{"vmms":"qemu"}', "vmms: it is not a list of names"],
  ['{"vmms":["qemu","../foo"]}', 'daemon.json: vmms[1]: no VMM is called "../foo"'],
])("%s is refused by its name", async (text, words) => {
  const error = await refusal(read(text))
  expect([error.code, error.message]).toEqual(["OVM_SETTINGS_INVALID", expect.stringContaining(words)])
})

test("user ids of jails go as far as the schema says, or there are none", async () => {
  const [no, { properties }] = schema.properties.jail.oneOf as [
    { const: false },
    { properties: Record<"from" | "count", { minimum: number; maximum: number }> },
  ]
  expect((await read({ jail: no.const })).jail).toBe(false)
  expect((await read({ jail: {} })).jail).toEqual(UIDS)
  for (const [name, { minimum, maximum }] of Object.entries(properties)) {
    for (const value of [minimum, maximum])
      expect((await read({ jail: { [name]: value } })).jail).toEqual({ ...UIDS, [name]: value })
    for (const value of [minimum - 1, maximum + 1, 1.5, "1", null])
      expect((await refusal(read({ jail: { [name]: value } }))).message).toContain(`${file}: jail.${name}`)
  }
  for (const value of [true, null, [], "no", { uids: 1 }])
    expect((await refusal(read({ jail: value }))).code).toBe("OVM_SETTINGS_INVALID")
})
