import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { chmod, copyFile, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer, type RegistryProgram, startRegistry } from "@ovms/testkit/registry.ts"
import { startSigstore } from "@ovms/testkit/sigstore.ts"
import { finished, Sandbox } from "./sandbox.ts"

// Signatures and attestations with the real Cosign, in both of its forms and every direction, in every registry.

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

const cosign = findPeer("cosign")
const skip = cosign ? guestMissing : "cosign is neither in the peers' cache nor on PATH (make peers)"
if (skip) console.log(`SKIP packages/ovm/test/signing.test.ts: ${skip}`)

const PASSWORD = { COSIGN_PASSWORD: "correct horse" }
const TYPE = "https://example.com/tested/v1"

/** Cosign without a network: no log, no services of others, plain HTTP. */
async function runCosign(box: Sandbox, args: readonly string[]) {
  const env = { PATH: process.env.PATH, HOME: box.directory, DOCKER_CONFIG: box.directory, ...PASSWORD }
  const child = spawn(cosign ?? "", args, { cwd: box.directory, env, stdio: ["ignore", "pipe", "pipe"] })
  return finished(child)
}

async function cosignOk(box: Sandbox, ...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCosign(box, args)
  expect(status, `cosign ${args.join(" ")} ended with status ${status}: ${stderr}`).toBe(0)
  return stdout
}

const SIGN = ["--use-signing-config=false", "--tlog-upload=false", "-y", "--allow-http-registry"]
const VERIFY = ["--insecure-ignore-tlog", "--allow-http-registry"]
const form = (name: string) => `--new-bundle-format=${name === "bundle"}`

const REGISTRIES: readonly (RegistryProgram | "embedded")[] = [
  "embedded",
  "distribution",
  "docker-registry",
  "ggcr-registry",
]

describe.skipIf(Boolean(skip))("with cosign", () => {
  let box: Sandbox

  beforeAll(async () => {
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    const at = { cwd: box.directory, env: PASSWORD }
    for (const name of ["a", "b", "c"])
      await box.ok(["pack", "--kernel", "kernel", "--args", name, "-t", name], at)
    await box.ok(["key", "generate", "--output-key-prefix", "ours"], at)
    await cosignOk(box, "generate-key-pair", "--output-key-prefix", "theirs")
    await box.file("predicate.json", { tested: true, by: ["somebody"] })
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
  })

  const ovm = (...args: readonly string[]) => box.ok(args, { cwd: box.directory, env: PASSWORD })
  const verdicts = async (...args: readonly string[]) =>
    (await box.json(["verify", ...args], { cwd: box.directory, env: PASSWORD })).verdicts

  test("a key pair of ours is what Cosign writes: a password, an owner, never written over (OVMS-SIG-042)", async () => {
    expect((await stat(box.path("ours.key"))).mode & 0o777).toBe(0o600)
    expect(await readFile(box.path("ours.key"), "utf8")).toStartWith(
      "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----",
    )
    expect(await cosignOk(box, "public-key", "--key", "ours.key")).toBe(
      await readFile(box.path("ours.pub"), "utf8"),
    )
    expect(await ovm("key", "public", "--key", "theirs.key")).toBe(
      (await readFile(box.path("theirs.pub"), "utf8")).trimEnd(),
    )
    const again = ["key", "generate", "--output-key-prefix", box.path("ours")]
    await box.fails(again, "OVM_USAGE", ["ours.key"], { env: PASSWORD })
  })

  for (const program of REGISTRIES) {
    const missing = program !== "embedded" && !findPeer(program)
    if (missing) console.log(`SKIP packages/ovm/test/signing.test.ts: ${program} is missing (make peers)`)
    describe.skipIf(missing)(program, () => {
      let host: string
      let stop: () => Promise<unknown>

      beforeAll(async () => {
        if (program === "embedded") {
          const child = box.begin([
            "registry",
            "serve",
            "--address",
            "127.0.0.1:0",
            "--json",
            "--root",
            box.path("r"),
          ])
          const line = await new Promise<string>((resolve) =>
            child.stdout?.once("data", (data) => resolve(String(data))),
          )
          host = JSON.parse(line).address
          stop = async () => child.kill()
        } else {
          const server = await startRegistry({ program })
          host = server.host
          stop = server.stop
        }
        for (const name of ["a", "b", "c"]) await ovm("copy", name, `${host}/m/${name}:1`)
      })
      afterAll(() => stop?.())

      for (const kind of ["bundle", "legacy"]) {
        const legacy = kind === "legacy" ? ["--legacy"] : []

        test(`${kind}: what ovm signs, cosign verifies (OVMS-SIG-010, OVMS-SIG-011, OVMS-SIG-013)`, async () => {
          const image = `${host}/m/a:1`
          await ovm("sign", "--key", "ours.key", "-a", "stage=test", ...legacy, image)
          const told = JSON.parse(
            await cosignOk(
              box,
              "verify",
              form(kind),
              "--key",
              "ours.pub",
              "-a",
              "stage=test",
              ...VERIFY,
              image,
            ),
          )
          expect(told[0].optional.stage).toBe("test")
          const other = await runCosign(box, ["verify", form(kind), "--key", "theirs.pub", ...VERIFY, image])
          expect(other.status).not.toBe(0)
        })

        test(`${kind}: what cosign signs, ovm verifies`, async () => {
          const image = `${host}/m/b:1`
          await cosignOk(box, "sign", form(kind), "--key", "theirs.key", ...SIGN, image)
          const [first] = await verdicts("--key", "theirs.pub", "--all", image).then((all) =>
            all.filter((one: { form: string }) => one.form === kind),
          )
          expect(first).toMatchObject({ status: "valid", kind: "signature", form: kind })
          await box.fails(["verify", "--key", box.path("ours.pub"), image], "OVM_SIGNATURE_KEY_UNKNOWN", [
            image,
          ])
        })

        test(`${kind}: attestations, both ways`, async () => {
          const image = `${host}/m/c:1`
          const said = ["--type", TYPE, "--predicate", "predicate.json"]
          await ovm("attest", "--key", "ours.key", ...said, ...legacy, image)
          const told = await cosignOk(
            box,
            "verify-attestation",
            form(kind),
            "--key",
            "ours.pub",
            "--type",
            TYPE,
            ...VERIFY,
            image,
          )
          const statement = JSON.parse(Buffer.from(JSON.parse(told).payload, "base64").toString())
          expect(statement.predicate).toEqual({ tested: true, by: ["somebody"] })
          await cosignOk(box, "attest", form(kind), "--key", "theirs.key", ...said, ...SIGN, image)
          const found = await verdicts("--key", "theirs.pub", "--type", TYPE, "--all", image)
          const theirs = found.find(
            (one: { form: string; status: string }) => one.form === kind && one.status === "valid",
          )
          expect(theirs.predicate).toEqual({ tested: true, by: ["somebody"] })
          // Cosign takes it for a signature; we do not.
          await box.fails(["verify", "--key", box.path("theirs.pub"), image], "OVM_PREDICATE_MISMATCH", [
            image,
          ])
        })
      }

      test("several writers of the older form keep each other's", async () => {
        const image = `${host}/m/c:1`
        await cosignOk(box, "sign", form("legacy"), "--key", "theirs.key", ...SIGN, image)
        await Promise.all([1, 2].map(() => ovm("sign", "--legacy", "--key", "ours.key", image)))
        for (const key of ["theirs.pub", "ours.pub"])
          await cosignOk(box, "verify", form("legacy"), "--key", key, ...VERIFY, image)
      })

      test("they travel with the image, to this host and into an archive", async () => {
        const image = `${host}/m/b:1`
        await ovm("copy", "--include-referrers", image, `store:${image}`)
        await ovm("copy", "--include-referrers", image, "oci-archive:b.tar")
        for (const where of [`store:${image}`, "oci-archive:b.tar"]) {
          const found = await verdicts("--key", "theirs.pub", "--all", where)
          // What came from other registries hangs on the same digest here.
          expect([...new Set(found.map((one: { form: string }) => one.form))].sort()).toEqual([
            "bundle",
            "legacy",
          ])
        }
        await ovm("sign", "--key", "ours.key", "--legacy", `store:${image}`)
        await ovm("push", "--include-referrers", image)
        await cosignOk(box, "verify", form("legacy"), "--key", "ours.pub", ...VERIFY, image)
        expect(await ovm("images")).not.toContain(".sig")
      })
    })
  }

  test("a layout without a registry", async () => {
    await ovm("copy", "a", "oci:layout:1")
    for (const legacy of [[], ["--legacy"]]) await ovm("sign", "--key", "ours.key", ...legacy, "./layout:1")
    const found = await verdicts("--key", "ours.pub", "--all", "./layout:1")
    expect(found.map((one: { form: string; status: string }) => `${one.form} ${one.status}`)).toEqual([
      "bundle valid",
      "legacy valid",
    ])
    const archive = ["sign", "--key", box.path("ours.key"), "oci-archive:b.tar"]
    await box.fails(archive, "OVM_UNSUPPORTED", ["b.tar"], { cwd: box.directory, env: PASSWORD })
  })

  test("a layout that cosign saved", async () => {
    await using registry = await startRegistry({ program: "ggcr-registry" })
    const image = `${registry.host}/m/a:1`
    await ovm("copy", "a", image)
    await cosignOk(box, "sign", "--key", "theirs.key", ...SIGN, image)
    await cosignOk(box, "save", "--allow-http-registry", "--dir", "saved", image)
    const digest = (await box.json(["inspect", "a"])).digest
    const [first] = await verdicts("--key", "theirs.pub", `./saved:${digest}`)
    expect(first).toMatchObject({ status: "valid" })
  })

  test("keyless, on a private root: certificates, log and timestamps in both directions and forms", async () => {
    await using sigstore = await startSigstore()
    await using registry = await startRegistry({ program: "ggcr-registry" })
    const [who, from] = ["https://example.com/builders/1", "https://accounts.example.com"]
    await box.file("token", sigstore.token(who, from))
    await box.file("root.json", sigstore.trustedRoot())
    const at = ["--fulcio-url", sigstore.url, "--rekor-url", sigstore.url, "--identity-token", "token"]
    const by = [
      "--trusted-root",
      "root.json",
      "--certificate-identity",
      who,
      "--certificate-oidc-issuer",
      from,
    ]
    const [mine, theirs] = [`${registry.host}/m/a:1`, `${registry.host}/m/b:1`]
    await ovm("copy", "a", mine)
    await ovm("copy", "b", theirs)

    await ovm("sign", ...at, "--timestamp-url", sigstore.url, mine)
    for (const more of [[], ["--use-signed-timestamps"]])
      await cosignOk(box, "verify", ...by, ...more, "--allow-http-registry", mine)
    const other = by.with(3, "https://example.com/builders/2")
    expect((await runCosign(box, ["verify", ...other, "--allow-http-registry", mine])).status).not.toBe(0)
    const refused = ["verify", ...other.with(1, box.path("root.json")), mine]
    await box.fails(refused, "OVM_CERTIFICATE_IDENTITY_MISMATCH", [who])

    const signing = [
      "--use-signing-config=false",
      "--trusted-root",
      "root.json",
      "-y",
      "--allow-http-registry",
    ]
    for (const kind of ["bundle", "legacy"]) {
      await cosignOk(box, "sign", form(kind), ...at, ...signing, theirs)
      const said = ["--type", TYPE, "--predicate", "predicate.json"]
      await cosignOk(box, "attest", form(kind), ...at, ...said, ...signing, theirs)
      for (const type of [[], ["--type", TYPE]]) {
        const found = await verdicts(...by, ...type, "--all", theirs)
        const one = found.find(
          (each: { form: string; status: string }) => each.form === kind && each.status === "valid",
        )
        expect(one).toMatchObject({ identity: who, issuer: from, signed_at: expect.any(String) })
      }
    }
  })

  test("a key that a program has access to", async () => {
    const plain = join(box.directory, "plain.pem")
    await box.shell(
      `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ${plain} 2>/dev/null`,
    )
    await chmod(plain, 0o600)
    await box.file("ovm-signer-openssl", OPENSSL_SIGNER)
    await chmod(box.path("ovm-signer-openssl"), 0o755)
    const env = { ...PASSWORD, PATH: `${box.directory}:${process.env.PATH}` }
    const at = { cwd: box.directory, env }
    const pem = await box.ok(["key", "public", "--key", `plugin:openssl/${plain}`], at)
    await box.file("plugin.pub", `${pem}\n`)
    await box.ok(["sign", "--key", `plugin:openssl/${plain}`, "b"], at)
    expect(await verdicts("--key", "plugin.pub", "b")).toMatchObject([{ status: "valid" }])
    await box.fails(
      ["sign", "--key", "plugin:openssl/nowhere", "b"],
      "OVM_SIGNER_FAILED",
      ["ovm-signer-openssl"],
      at,
    )
    await box.fails(["sign", "--key", "plugin:absent/x", "b"], "OVM_SIGNER_FAILED", ["ovm-signer-absent"], at)
  })
})

/** A signer program as somebody would write one, in shell. */
const OPENSSL_SIGNER = `#!/bin/sh
read -r request
field() { printf '%s' "$request" | sed -n "s/.*\\"$1\\":\\"\\([^\\"]*\\)\\".*/\\1/p"; }
key=$(field key)
[ -e "$key" ] || { echo '{"version":1,"error":{"message":"there is no such key"}}'; exit 0; }
case $(field operation) in
  public-key) printf '{"version":1,"publicKey":"%s"}' "$(openssl pkey -in "$key" -pubout | sed 's/$/\\\\n/' | tr -d '\\n')" ;;
  sign) printf '{"version":1,"signature":"%s"}' "$(field message | openssl base64 -d -A | openssl dgst -sha256 -sign "$key" | openssl base64 -A)" ;;
esac
`
