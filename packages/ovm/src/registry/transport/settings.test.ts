import { describe, expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { failure } from "../../content/store.testing.ts"
import { OvmError } from "../../errors.ts"
import schema from "./settings.schema.json" with { type: "json" }
import { parseSettings, readSettings, readTls } from "./settings.ts"

const FILE = "/etc/ovm/registries.json"
const parse = (registries: unknown) => parseSettings(JSON.stringify({ registries }), FILE)

test("a whole file", () => {
  const settings = parse({
    "registry.example.com:5000": {
      plainHttp: true,
      ca: "ca.pem",
      clientCert: "/keys/client.pem",
      clientKey: "/keys/client.key",
      proxy: "http://user:pass@proxy.example.com:3128",
      mirrors: [{ location: "mirror.example.com/hub/copy", resolve: true }, { location: "other:5000" }],
      allowPrivateRedirects: true,
      maxConcurrency: 8,
      chunkBytes: 5_242_880,
    },
  })
  expect(settings.for("registry.example.com:5000")).toEqual({
    plainHttp: true,
    ca: "/etc/ovm/ca.pem",
    clientCert: "/keys/client.pem",
    clientKey: "/keys/client.key",
    proxy: "http://user:pass@proxy.example.com:3128",
    mirrors: [
      { host: "mirror.example.com", prefix: "hub/copy", resolve: true },
      { host: "other:5000", resolve: false },
    ],
    allowPrivateRedirects: true,
    maxConcurrency: 8,
    chunkBytes: 5_242_880,
  })
  expect(settings.for("registry.example.com")).toEqual({})
})

const one = (field: string, value: unknown) =>
  JSON.stringify({ registries: { "a.example": { [field]: value } } })

describe("refused, with the file and the field", () => {
  test.each<[text: string, culprit: string]>([
    ["{", "not JSON"],
    ["[]", "not an object"],
    ['{"mirrors": {}}', "mirrors"],
    ['{"registries": []}', "registries"],
    ['{"registries": {"https://a.example": {}}}', "https://a.example"],
    ['{"registries": {"A.example": {}}}', "A.example"],
    ['{"registries": {"a.example": true}}', "a.example"],
    [one("insecure", true), "insecure"],
    [one("__proto__x", true), "__proto__x"],
    [one("plainHttp", "yes"), "plainHttp"],
    [one("ca", ""), "ca"],
    [one("clientCert", "only.pem"), "clientKey"],
    [one("proxy", "socks5://x:1"), "proxy"],
    [one("proxy", "http://x:1/path"), "proxy"],
    [one("mirrors", ["mirror.example"]), "mirrors"],
    [one("mirrors", [{ location: "https://mirror.example" }]), "mirrors"],
    [one("mirrors", [{ location: "mirror.example/UPPER" }]), "mirrors"],
    [one("mirrors", [{ location: "mirror.example", capabilities: [] }]), "mirrors"],
    [one("chunkBytes", 1), "chunkBytes"],
    [one("tokenHosts", "a.example"), "tokenHosts"],
    [one("tokenHosts", ["https://a.example"]), "tokenHosts"],
    [one("maxConcurrency", 0), "maxConcurrency"],
    [one("maxConcurrency", 1.5), "maxConcurrency"],
  ])("%s", (text, culprit) => {
    let error: unknown
    try {
      parseSettings(text, FILE)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(OvmError)
    expect((error as OvmError).code).toBe("OVM_SETTINGS_INVALID")
    expect((error as OvmError).message).toStartWith(FILE)
    expect((error as OvmError).message).toContain(culprit)
  })
})

test("files: none, one above the limit, certificates that are not there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ovm-settings-"))
  try {
    const path = join(folder, "registries.json")
    expect((await readSettings(path)).for("a.example")).toEqual({})
    await writeFile(path, one("ca", "nowhere.pem"))
    const tls = readTls((await readSettings(path)).for("a.example"))
    expect((await failure(tls, "OVM_FILE_UNREADABLE")).message).toContain(join(folder, "nowhere.pem"))
    await writeFile(path, " ".repeat(1024 * 1024 + 1))
    await failure(readSettings(path), "OVM_SETTINGS_INVALID")
  } finally {
    await rm(folder, { recursive: true })
  }
})

test("the schema for editors has the same fields", () => {
  const properties = Object.keys(schema.properties.registries.additionalProperties.properties).sort()
  const names = [
    "allowPrivateRedirects",
    "ca",
    "chunkBytes",
    "clientCert",
    "clientKey",
    "maxConcurrency",
    "mirrors",
    "plainHttp",
    "proxy",
    "tokenHosts",
  ]
  expect(properties).toEqual(names)
})
