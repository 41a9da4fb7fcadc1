import { describe, expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { GENERATED, type Generated } from "./keys/algorithms.ts"
import { generateKeyPair } from "./keys/generate.ts"
import { keySigner, parsePrivateKey } from "./keys/private.ts"
import { parsePublicKey } from "./keys/public.ts"

const password = (text?: string) => async () => text
const message = Buffer.from("a message")

/** A key in Cosign's file with other parameters. */
async function altered(
  change: (file: {
    kdf: { params: Record<string, unknown>; name: string }
    cipher: { name: string }
  }) => void,
) {
  const { privateKey } = await generateKeyPair("p256", "pw")
  const [, body = ""] = /-----\n([\s\S]+)\n-----END/.exec(privateKey) ?? []
  const file = JSON.parse(Buffer.from(body, "base64").toString())
  change(file)
  const base64 = Buffer.from(JSON.stringify(file)).toString("base64")
  return `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${base64}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`
}

describe("private keys", () => {
  for (const algorithm of Object.keys(GENERATED) as Generated[])
    test(`${algorithm}: as Cosign has it, as PKCS#8, and as PKCS#8 with a password`, async () => {
      const { privateKey, publicKey } = await generateKeyPair(algorithm, "pw")
      const key = await parsePrivateKey(privateKey, password("pw"), "a.key")
      const plain = key.export({ type: "pkcs8", format: "pem" }).toString()
      const cipher = { cipher: "aes-256-cbc", passphrase: "pw" }
      const sealed = key.export({ type: "pkcs8", format: "pem", ...cipher }).toString()
      for (const pem of [privateKey, plain, sealed, privateKey.replaceAll("SIGSTORE", "COSIGN")]) {
        const signer = keySigner(await parsePrivateKey(pem, password("pw"), "a.key"))
        expect(await signer.publicKey()).toBe(publicKey)
        const { verifies } = parsePublicKey(publicKey, "a.pub")
        const signature = await signer.sign(message)
        expect(verifies(message, signature)).toBe(true)
        expect(verifies(Buffer.from("another"), signature)).toBe(false)
        expect(verifies(message, Buffer.from("nonsense"))).toBe(false)
      }
    })

  test("a wrong password, or none", async () => {
    const { privateKey } = await generateKeyPair("p256", "pw")
    const key = await parsePrivateKey(privateKey, password("pw"), "a.key")
    const sealed = key
      .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "pw" })
      .toString()
    for (const pem of [privateKey, sealed])
      for (const text of ["wrong", undefined])
        await expect(parsePrivateKey(pem, password(text), "a.key")).rejects.toMatchObject({
          code: "OVM_KEY_LOCKED",
          message: expect.stringContaining("a.key"),
        })
  })

  const absurd: Record<string, Record<string, unknown>> = {
    "a gigabyte": { N: 1 << 20 },
    "N out of all bounds": { N: 2 ** 40 },
    "N that is no power of two": { N: 65535 },
    "N of a wrong type": { N: "65536" },
    "a large r": { r: 1 << 20 },
    "a large p": { p: 1 << 20 },
    "r below one": { r: 0 },
    "p that is no whole number": { p: 1.5 },
  }
  for (const [name, params] of Object.entries(absurd))
    test(`scrypt with ${name}, before any memory is taken or a password asked for`, async () => {
      const pem = await altered(({ kdf }) => Object.assign(kdf.params, params))
      const before = process.memoryUsage.rss()
      await expect(parsePrivateKey(pem, password("pw"), "a.key")).rejects.toMatchObject({
        code: "OVM_KEY_INVALID",
        message: expect.stringContaining("a.key asks for scrypt"),
      })
      expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20)
    })

  test("what is no key of ours", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 })
    const { publicKey } = await generateKeyPair("p256", "")
    const bad = [
      "nonsense",
      publicKey,
      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      await altered((file) => Object.assign(file.kdf, { name: "argon2" })),
      await altered((file) => Object.assign(file.cipher, { name: "rot13" })),
      await altered((file) => Object.assign(file.cipher, { nonce: "AA==" })),
    ]
    for (const pem of bad)
      await expect(parsePrivateKey(pem, password("pw"), "a.key")).rejects.toMatchObject({
        code: "OVM_KEY_INVALID",
        message: expect.stringContaining("a.key"),
      })
    for (const pem of ["nonsense", rsa.publicKey.export({ type: "spki", format: "pem" }).toString()])
      expect(() => parsePublicKey(pem, "a.pub")).toThrow(
        expect.objectContaining({ code: "OVM_KEY_INVALID", message: expect.stringContaining("a.pub") }),
      )
  })

  test("a private key where a public one is asked for is not taken for it (OVMS-SIG-044)", async () => {
    const { privateKey } = await generateKeyPair("p256", "")
    const plain = (await parsePrivateKey(privateKey, password(""), "a.key")).export({
      type: "pkcs8",
      format: "pem",
    })
    expect(() => parsePublicKey(plain.toString(), "a.pub")).toThrow(
      expect.objectContaining({ code: "OVM_KEY_INVALID" }),
    )
  })
})
