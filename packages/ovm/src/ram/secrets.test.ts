import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { CHUNK } from "./format.ts"
import { scanRam } from "./scan.ts"

// Threads are started again for every search.
setDefaultTimeout(240_000)

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-secrets-"))
})
afterAll(() => rm(root, { recursive: true }))

/** RAM of `chunks` chunks with holes, and these bytes in their places. */
async function ram(chunks: number, ...placed: [number, string | Uint8Array][]): Promise<string> {
  const path = join(root, `${count++}.ram`)
  await using file = await open(path, "wx")
  await file.truncate(chunks * CHUNK)
  for (const [at, bytes] of placed) await file.write(Buffer.from(bytes as Uint8Array), 0, null, at)
  return path
}

const letters = (length: number) => "aB3dE5fG7".repeat(20).slice(0, length)
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
const curve = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey
const ed = generateKeyPairSync("ed25519").privateKey
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
const pem = (key: typeof ec, type: "pkcs8" | "sec1" | "pkcs1") =>
  key.export({ type, format: "pem" } as { type: "pkcs8"; format: "pem" }) as string
const der = (key: typeof ec) => key.export({ type: "pkcs8", format: "der" })
const base64 = Buffer.from(letters(60)).toString("base64")
const part = (text: string) => Buffer.from(text).toString("base64url")

/** With what is in front of where they begin for the search: DER has lengths there. */
const SECRETS: Record<string, readonly (string | Uint8Array | readonly [string | Uint8Array, number])[]> = {
  "private-key": [
    pem(rsa, "pkcs8"),
    pem(rsa, "pkcs1"),
    pem(ec, "sec1"),
    pem(ec, "pkcs8").replaceAll("\n", "\r\n"),
    [JSON.stringify(pem(ec, "pkcs8")), 1],
    rsa.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }),
    `-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n${base64}`,
    `-----BEGIN OPENSSH PRIVATE KEY-----\n${base64}`,
    `-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n${base64}`,
    `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${base64}`,
    `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${base64}`,
  ],
  "private-key-binary": [
    [der(rsa), 4],
    [der(ec), 3],
    [der(curve), 3],
    der(ed),
    Buffer.from("openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none", "latin1"),
  ],
  "putty-private-key": ["PuTTY-User-Key-File-3: ssh-ed25519"],
  "aws-access-key": ["AKIAQYLPMN5HHHFPZAM2", "ASIAQYLPMN5HHHFPZAM2"],
  "github-token": [
    ...["ghp_", "gho_", "ghu_", "ghs_", "ghr_"].map((head) => head + letters(36)),
    `github_pat_${letters(82)}`,
  ],
  "gitlab-token": [`glpat-${letters(20)}`],
  "slack-token": [`xoxb-123456789012-123456789012-${letters(24)}`, `xoxp-12345678-${letters(10)}`],
  "gcp-service-account": ['"type": "service_account"', '"type":"service_account"'],
  "google-api-key": [`AIza${letters(35)}`],
  "npm-token": [`npm_${letters(36)}`],
  jwt: [`${part('{"alg":"HS256","typ":"JWT"}')}.${part('{"sub":"1234567890"}')}.${letters(43)}`],
}

for (const [kind, secrets] of Object.entries(SECRETS))
  test(`finds ${kind} wherever it lies, across chunks and tasks too (OVMS-SNP-099)`, async () => {
    for (const [index, one] of secrets.entries()) {
      const [secret, start] = Array.isArray(one) ? one : [one, 0]
      const bytes = Buffer.from(secret as Uint8Array)
      // In the middle, at the very beginning and end, across a chunk's border, and across that of four chunks, a
      // task's.
      const middle = Math.floor(bytes.length / 2)
      const places = [
        0,
        100_003,
        CHUNK - middle,
        4 * CHUNK - 1,
        8 * CHUNK - bytes.length + 1,
        12 * CHUNK - bytes.length,
      ]
      const path = await ram(12, ...places.map((at): [number, Uint8Array] => [at, bytes]))
      expect([index, await scanRam(path)]).toEqual([
        index,
        [{ kind, count: 6, offsets: places.map((at) => at + start) }],
      ])
    }
  })

test("does not take for a secret what only looks a little like one", async () => {
  const harmless = [
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUTZ",
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZI",
    // As in a library that writes them.
    "-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0-----BEGIN %s-----\n",
    "openssh-key-v1\0auth_none\0",
    `XAKIAQYLPMN5HHHFPZAM2 AKIAQYLPMN5HHHFPZAM2A AKIAQYLPMN5HHHFPZAM AKIA1YLPMN5HHHFPZAM2`,
    `ghp_${letters(35)} ghp_${letters(37)} aghp_${letters(36)} ghx_${letters(36)}`,
    "xoxb-none xoxb-1234567-abcdefghijkl",
    '"type": "authorized_user"',
    "eyJhbGciOi.eyJzdWIi.x eyJhbGciOiJIUzI1NiJ9 eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.short",
    ec.export({ type: "pkcs8", format: "der" }).subarray(0, 12),
  ]
  const placed = harmless.map((bytes, index): [number, string | Uint8Array] => [index * 5000 + 1, bytes])
  expect(await scanRam(await ram(2, ...placed))).toEqual([])
})

test("counts all and tells the lowest sixteen places", async () => {
  const token = `glpat-${letters(20)} `
  const places = Array.from({ length: 40 }, (_, index) => index * 70_000)
  const path = await ram(12, ...places.toReversed().map((at): [number, string] => [at, token]))
  expect(await scanRam(path)).toEqual([{ kind: "gitlab-token", count: 40, offsets: places.slice(0, 16) }])
})

// OVMS-SNP-134
test("finds what is in a text beside the RAM, which has no place in it", async () => {
  const token = `glpat-${letters(20)}`
  const path = await ram(1, [500, token])
  const found = await scanRam(path, { beside: `quiet token=${token} key=${token}` })
  expect(found).toEqual([{ kind: "gitlab-token", count: 3, offsets: [500] }])
  const nowhere = await scanRam(await ram(1), { beside: token })
  expect(nowhere).toEqual([{ kind: "gitlab-token", count: 1, offsets: [] }])
})

test("takes its time with what was made to take it, but not more", async () => {
  const parts = ["eyJ".repeat(700), ".eyJ", "-----BEGIN ", "xox", "a: b\n", "ghp_"].map((word) =>
    word.repeat(CHUNK / 4).slice(0, CHUNK),
  )
  expect(await scanRam(await ram(6, [0, parts.join("")]))).toEqual([])
})

test("ends when it is told to, and says which file is missing", async () => {
  const path = await ram(64, [0, "x".repeat(64 * CHUNK)])
  expect((await refusal(scanRam(path, { signal: AbortSignal.abort() }))).code).toBe("OVM_INTERRUPTED")
  const error = await refusal(scanRam(join(root, "nothing")))
  expect([error.code, error.message]).toEqual(["OVM_FILE_UNREADABLE", expect.stringContaining("nothing")])
})
