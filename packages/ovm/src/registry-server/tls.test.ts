import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { failure } from "../content/store.testing.ts"
import { startTest } from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

const openssl = spawnSync("openssl", ["version"]).status === 0
if (!openssl) console.warn("skipped: HTTPS: openssl is not on PATH")

let folder: string
const file = (name: string) => join(folder, name)

function make(name: string): void {
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
    ...["-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)],
  ])
  if (made.status !== 0) throw new Error(made.stderr.toString())
}

describe.skipIf(!openssl)("HTTPS", () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ovm-tls-"))
    for (const name of ["mine", "other"]) make(name)
  })
  afterAll(() => rm(folder, { recursive: true }))

  test("serves with a certificate, and a large blob whole and in part", async () => {
    await using registry = await startTest({ tls: { cert: file("mine.pem"), key: file("mine.key") } })
    const tls = { ca: await readFile(file("mine.pem"), "utf8") }
    const body = new Uint8Array(3_000_000).map((_, at) => at * 13 + (at >> 10))
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(body).digest("hex")}`
    const pushed = await registry.call("POST", `a/blobs/uploads/?digest=${digest}`, { body, tls })
    expect(pushed.status).toBe(201)
    const whole = await registry.call("GET", `a/blobs/${digest}`, { tls })
    expect(Buffer.compare(Buffer.from(await whole.bytes()), Buffer.from(body))).toBe(0)
    const part = await registry.call("GET", `a/blobs/${digest}`, {
      tls,
      headers: { Range: "bytes=1000000-2000000" },
    })
    expect(part.status).toBe(206)
    expect(
      Buffer.compare(Buffer.from(await part.bytes()), Buffer.from(body.subarray(1_000_000, 2_000_001))),
    ).toBe(0)
  })

  test("refuses files that do not fit", async () => {
    const start = (cert: string, key: string) => startTest({ tls: { cert: file(cert), key: file(key) } })
    const absent = await failure(start("nowhere.pem", "mine.key"), "OVM_FILE_UNREADABLE")
    expect(absent.message).toContain("nowhere.pem")
    await writeFile(file("bad.pem"), "no certificate")
    await failure(start("bad.pem", "mine.key"), "OVM_USAGE")
    await failure(start("mine.pem", "other.key"), "OVM_USAGE")
  })
})
