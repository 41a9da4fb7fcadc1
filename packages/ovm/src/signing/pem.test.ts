import { describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { opensslMissing } from "@ovms/testkit/certificates.ts"
import { pemBlocks } from "./keys/pem.ts"
import { keySigner, parsePrivateKey } from "./keys/private.ts"
import { parsePublicKey } from "./keys/public.ts"

// Keys as OpenSSL writes them, and as editors and mail leave them (OVMS-SIG-043, OVMS-SIG-044, OVMS-SIG-060).

if (opensslMissing) console.log(`SKIP packages/ovm/src/signing/pem.test.ts: ${opensslMissing}`)

const MESSAGE = Buffer.from("a message")
const secret = async () => "pw"

/** What `openssl` writes to a file. */
function openssl(...args: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "ovm-pem-"))
  try {
    const at = (arg: string) => (/^(in|out)\.pem$/.test(arg) ? join(folder, arg) : arg)
    const input = args.findIndex((arg) => arg.includes("-----BEGIN"))
    if (input >= 0) {
      writeFileSync(join(folder, "in.pem"), args[input] ?? "")
      args[input] = "in.pem"
    }
    const { status, stderr } = spawnSync("openssl", args.map(at), { encoding: "utf8" })
    if (status !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`)
    return readFileSync(join(folder, "out.pem"), "utf8")
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const ways: readonly [string, (pem: string) => string][] = [
  ["as it is", (pem) => pem],
  ["after text and an empty line", (pem) => `Release key of Example Ltd.\n\n${pem}`],
  ["before text", (pem) => `${pem}\nkeep this: safe\n`],
  ["with a byte order mark", (pem) => `\uFEFF${pem}`],
  ["with carriage returns", (pem) => pem.replaceAll("\n", "\r\n")],
  ["with blanks at the ends of lines", (pem) => pem.replaceAll("\n", " \t\n")],
  [
    "with Bag Attributes",
    (pem) => `Bag Attributes\n    friendlyName: a key\nKey Attributes: <No Attributes>\n${pem}`,
  ],
  ["after a certificate", (pem) => `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${pem}`],
]

describe.skipIf(Boolean(opensslMissing))("keys of OpenSSL", () => {
  const kinds: readonly [string, () => string][] = [
    [
      "EC with its parameters first",
      () => openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "out.pem"),
    ],
    ["EC of P-384", () => openssl("ecparam", "-name", "secp384r1", "-genkey", "-out", "out.pem")],
    [
      "PKCS#8",
      () => openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "out.pem"),
    ],
    ["Ed25519", () => openssl("genpkey", "-algorithm", "ED25519", "-out", "out.pem")],
    ["RSA", () => openssl("genrsa", "-out", "out.pem", "3072")],
    ["RSA in PKCS#1", () => openssl("genrsa", "-traditional", "-out", "out.pem", "2048")],
  ]
  test.each(kinds)("%s: private and public, whatever is around them", async (_, make) => {
    const pem = make()
    const publicPem = openssl("pkey", "-in", pem, "-pubout", "-out", "out.pem")
    for (const [, change] of ways) {
      const signer = keySigner(await parsePrivateKey(change(pem), secret, "a.key"))
      const key = parsePublicKey(change(publicPem), "a.pub")
      expect(key.pem).toBe(await signer.publicKey())
      const signature = await signer.sign(MESSAGE)
      expect(key.verifies(MESSAGE, signature)).toBe(true)
      expect(key.verifies(Buffer.from("another"), signature)).toBe(false)
    }
  })

  test.each([
    [
      "PKCS#8",
      (pem: string) => openssl("pkcs8", "-topk8", "-in", pem, "-passout", "pass:pw", "-out", "out.pem"),
    ],
    [
      "SEC 1",
      (pem: string) => openssl("ec", "-aes256", "-in", pem, "-passout", "pass:pw", "-out", "out.pem"),
    ],
  ])("encrypted, in %s: with the password, with another, without", async (_, seal) => {
    const sealed = seal(openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "out.pem"))
    for (const [, change] of ways) {
      const signer = keySigner(await parsePrivateKey(change(sealed), secret, "a.key"))
      expect(await signer.publicKey()).toContain("PUBLIC KEY")
    }
    for (const text of ["wrong", undefined])
      await expect(parsePrivateKey(sealed, async () => text, "a.key")).rejects.toMatchObject({
        code: "OVM_KEY_LOCKED",
        message: expect.stringContaining("a.key"),
      })
  })

  test("what is no key of the kind that was asked for is told by what it is", async () => {
    const pem = openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "out.pem")
    const publicPem = openssl("pkey", "-in", pem, "-pubout", "-out", "out.pem")
    const parameters = pem.slice(0, pem.indexOf("-----BEGIN EC PRIVATE"))
    const refused = (text: string) =>
      parsePrivateKey(text, secret, "a.key").catch((error: Error) => error.message)
    expect(await refused(publicPem)).toContain("it is the public half")
    expect(await refused(parameters)).toContain("it has EC PARAMETERS")
    expect(await refused("text")).toContain("it has no PEM block")
    expect(await refused(openssl("genrsa", "-out", "out.pem", "1024"))).toContain("RSA of 1024 bits")
    for (const text of [pem, `${publicPem}${pem}`])
      expect(() => parsePublicKey(text, "a.pub")).toThrow("it has a private key in it")
    expect(() => parsePublicKey(parameters, "a.pub")).toThrow("it has EC PARAMETERS")
  })
})

test("a block that does not end is none, and what is inside of another label is its own", () => {
  expect(pemBlocks("-----BEGIN PUBLIC KEY-----\nAAAA\n")).toEqual([])
  expect(pemBlocks("-----BEGIN A-----\nAA \n\tBB\n-----END A-----")).toMatchObject([
    { label: "A", body: "AABB" },
  ])
})
