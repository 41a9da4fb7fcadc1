import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { generateKeyPair } from "./keys/generate.ts"
import { parsePrivateKey } from "./keys/private.ts"
import { parsePublicKey } from "./keys/public.ts"
import { parsePluginKey, pluginSigner } from "./signer-plugin.ts"

// Programs on PATH, as somebody else would write them.

const pair = await generateKeyPair("p256", "")
const plain = (await parsePrivateKey(pair.privateKey, async () => "", "k")).export({
  type: "pkcs8",
  format: "pem",
})

/** One that does as the contract says. */
const GOOD = `
const request = JSON.parse(await new Response(Bun.stdin.stream()).text())
const key = require("node:crypto").createPrivateKey(${JSON.stringify(plain)})
const answer =
  request.version !== 1 || request.key !== "slot 1" ? { error: { message: "no such key: " + request.key } }
  : request.operation === "public-key" ? { publicKey: ${JSON.stringify(pair.publicKey)} }
  : { signature: require("node:crypto").sign("sha256", Buffer.from(request.message, "base64"), key).toString("base64") }
console.log(JSON.stringify({ version: 1, ...answer }))
`

const BAD: Record<string, [string, string]> = {
  status: ["process.exit(3)", "status 3"],
  killed: ["process.kill(process.pid, 'SIGTERM'); await Bun.sleep(5000)", "SIGTERM"],
  silent: ["", "no JSON document"],
  chatty: [`process.stdout.write("x".repeat(1 << 20)); await Bun.sleep(60000)`, "longer than"],
  slow: ["await Bun.sleep(60000)", "did not answer"],
  version: [`console.log('{"version":2,"publicKey":""}')`, "version 1"],
  keyless: [`console.log('{"version":1,"publicKey":"nonsense"}')`, "not a public key"],
  refusing: [
    `console.log('{"version":1,"error":{"message":"the token is not there"}}')`,
    "the token is not there",
  ],
}

describe("signer programs", () => {
  let folder: string
  const path = process.env.PATH
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ovm-signer-"))
    process.env.PATH = `${folder}:${path}`
    for (const [name, text] of [
      ["good", GOOD],
      ...Object.entries(BAD).map(([name, [text]]) => [name, text]),
    ]) {
      const file = join(folder, `ovm-signer-${name}`)
      await writeFile(file, `#!${process.execPath}\n${text}\n`)
      await chmod(file, 0o755)
    }
  })
  afterAll(async () => {
    process.env.PATH = path
    await rm(folder, { recursive: true, force: true })
  })

  test("signs with a key that never comes here (OVMS-SIG-052)", async () => {
    const plugin = parsePluginKey("plugin:good/slot 1")
    if (!plugin) throw new Error("not understood")
    const signer = pluginSigner(plugin)
    expect(await signer.publicKey()).toBe(pair.publicKey)
    const message = Buffer.alloc(1 << 20, 7)
    expect(parsePublicKey(pair.publicKey, "k").verifies(message, await signer.sign(message))).toBe(true)
  })

  test("a signature by another key is not taken (OVMS-SIG-051)", async () => {
    const other = await generateKeyPair("p256", "")
    const text = GOOD.replace(JSON.stringify(pair.publicKey), JSON.stringify(other.publicKey))
    await writeFile(join(folder, "ovm-signer-wrong"), `#!${process.execPath}\n${text}\n`)
    await chmod(join(folder, "ovm-signer-wrong"), 0o755)
    const signer = pluginSigner({ program: "ovm-signer-wrong", key: "slot 1" })
    await expect(signer.sign(Buffer.from("x"))).rejects.toMatchObject({
      code: "OVM_SIGNER_FAILED",
      message: expect.stringContaining("not a signature by slot 1"),
    })
  })

  for (const [name, [, culprit]] of Object.entries(BAD))
    test(`${name}: is named with what it did (OVMS-SIG-050)`, async () => {
      const program = `ovm-signer-${name}`
      const asked = pluginSigner({ program, key: "slot 1" }, name === "slow" ? 300 : 60_000).publicKey()
      const thrown = await asked.catch((error: unknown) => error)
      expect(thrown).toMatchObject({ code: "OVM_SIGNER_FAILED" })
      for (const part of [program, culprit]) expect(String(thrown)).toContain(part)
    })

  test("a program that is not there, a key that it does not have, and names that can be no program's", async () => {
    const absent = pluginSigner({ program: "ovm-signer-absent", key: "k" }).publicKey()
    await expect(absent).rejects.toMatchObject({ code: "OVM_SIGNER_FAILED" })
    const unknown = pluginSigner({ program: "ovm-signer-good", key: "slot 2" }).publicKey()
    await expect(unknown).rejects.toThrow("no such key: slot 2")
    expect(parsePluginKey("./cosign.key")).toBeUndefined()
    for (const text of ["plugin:", "plugin:x", "plugin:../x/k", "plugin:a b/k", "plugin:x/"])
      expect(() => parsePluginKey(text)).toThrow(expect.objectContaining({ code: "OVM_KEY_INVALID" }))
  })
})
