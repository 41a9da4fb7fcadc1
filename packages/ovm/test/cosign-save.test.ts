import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { copyFile, readFile } from "node:fs/promises"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer, type RegistryServer, startRegistry } from "@ovms/testkit/registry.ts"
import { finished, Sandbox } from "./sandbox.ts"

// What Cosign saves as a layout, in both of its forms, and RSA keys as Cosign has them (OVMS-SIG-061, OVMS-SIG-040).

setDefaultTimeout(240_000)

const cosign = findPeer("cosign")
const skip =
  cosign && findPeer("docker-registry") ? guestMissing : "cosign or docker-registry is missing (make peers)"
if (skip) console.log(`SKIP packages/ovm/test/cosign-save.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("cosign", () => {
  let box: Sandbox
  let registry: RegistryServer
  const password = { COSIGN_PASSWORD: "correct horse" }

  const run = async (...args: readonly string[]) => {
    const env = { PATH: process.env.PATH, HOME: box.directory, ...password }
    const child = spawn(cosign ?? "", args, { cwd: box.directory, env, stdio: ["ignore", "pipe", "pipe"] })
    const { status, stderr } = await finished(child)
    expect({ args, status, stderr }).toMatchObject({ status: 0 })
  }
  const openssl = async (...args: readonly string[]) =>
    expect(await Bun.spawn(["openssl", ...args], { cwd: box.directory, stderr: "ignore" }).exited).toBe(0)
  const here = () => ({ cwd: box.directory, env: password })

  /** Pushed; gives its name by digest. */
  const pushed = async (name: string): Promise<string> => {
    const image = `${registry.host}/saved/${name}`
    await box.ok(["pack", "--kernel", "kernel", "--args", name, "-t", `${image}:1`], here())
    const { digest } = await box.json(["push", `${image}:1`])
    return `${image}@${digest}`
  }

  beforeAll(async () => {
    registry = await startRegistry()
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    await run("generate-key-pair", "--output-key-prefix", "theirs")
    await run("generate-key-pair", "--output-key-prefix", "others")
    await box.file("predicate.json", { tested: true })
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  const SIGN = ["--use-signing-config=false", "--tlog-upload=false", "-y", "--allow-http-registry", "--key"]
  const TYPE = "https://example.com/tested/v1"

  test.each(["false", "true"])("save is verified from the layout, bundles: %s", async (bundles) => {
    const image = await pushed(`saved-${bundles}`)
    const form = `--new-bundle-format=${bundles}`
    await run("sign", ...SIGN, "theirs.key", form, image)
    await run("attest", ...SIGN, "theirs.key", form, "--type", TYPE, "--predicate", "predicate.json", image)
    const layout = `layout-${bundles}`
    await run("save", "--allow-http-registry", "--dir", layout, image)
    const index = JSON.parse(await readFile(box.path(`${layout}/index.json`), "utf8"))
    expect(index.manifests).toHaveLength(bundles === "false" ? 3 : 1)
    const at = { cwd: box.directory }
    const verify = ["verify", "--key", "theirs.pub"]
    expect(await box.ok([...verify, `./${layout}`], at)).toContain("valid signature by key")
    expect(await box.ok([...verify, "--type", TYPE, `./${layout}`], at)).toContain("valid")
    const stranger = ["verify", "--key", "others.pub", `./${layout}`]
    await box.fails(stranger, "OVM_SIGNATURE_KEY_UNKNOWN", [layout], at)
    const again = `${registry.host}/again/${layout}:1`
    await box.ok(["copy", "--include-referrers", `./${layout}`, again], at)
    expect(await box.ok([...verify, "--any-reference", again], at)).toContain("valid signature")
    expect(await box.ok(["inspect", `./${layout}`], at)).toContain(image.split("@")[1] ?? "?")
    expect(await box.ok(["discover", `./${layout}`], at)).toContain("signature")
  })

  test("the older form goes with an image that is given another repository's name [OVMS-SIG-067]", async () => {
    const image = await pushed("moved")
    const old = "--new-bundle-format=false"
    await run("sign", ...SIGN, "theirs.key", old, image)
    await run("attest", ...SIGN, "theirs.key", old, "--type", TYPE, "--predicate", "predicate.json", image)
    const from = image.replace(/@.*/, ":1")
    await using host = await Sandbox.create()
    await host.ok(["pull", from])
    const key = ["verify", "--key", box.path("theirs.pub"), "--any-reference"]
    const to = `${registry.host}/moved/there:1`
    const again = `${registry.host}/moved/again:1`
    const { digest } = await host.json(["tag", from, to])
    await host.ok(["tag", digest, again])
    await host.ok(["rmi", from])
    for (const name of [to, again]) {
      await host.ok(["push", "--include-referrers", name])
      for (const at of [`store:${name}`, name])
        for (const type of [[], ["--type", TYPE]])
          expect(await host.ok([...key, ...type, at])).toContain("valid")
    }
    const there = `${to.replace(/:1$/, "")}@${digest}`
    await run("verify", "--key", "theirs.pub", "--insecure-ignore-tlog", "--allow-http-registry", old, there)
    // What is there already stays.
    await host.ok(["sign", "--legacy", "--key", box.path("others.key"), `store:${to}`], { env: password })
    await host.ok(["tag", again, to])
    for (const by of ["theirs.pub", "others.pub"])
      await host.ok(["verify", "--key", box.path(by), "--any-reference", `store:${to}`])
    await host.ok(["rmi", to, again])
    expect(await host.blobs()).toEqual([])
  })

  test("the older form is saved with an image, and loaded by its own name and by another", async () => {
    const name = "here/signed:1"
    await box.ok(["pack", "--kernel", "kernel", "--args", "saved", "-t", name], here())
    await box.ok(["sign", "--legacy", "--key", "theirs.key", `store:${name}`], here())
    const said = ["--type", TYPE, "--predicate", "predicate.json"]
    await box.ok(["attest", "--legacy", "--key", "theirs.key", ...said, `store:${name}`], here())
    await box.ok(["save", "--include-referrers", "-o", "signed.tar", name], here())
    await box.ok(["save", "-o", "bare.tar", name], here())
    await box.ok(["copy", "--include-referrers", name, "oci-archive:tags.tar:1"], here())
    for (const [file, called] of [
      ["signed.tar", name],
      ["signed.tar", "there/signed:2"],
      ["tags.tar", "there/signed:2"],
    ] as const) {
      await using host = await Sandbox.create()
      const named = called === name ? [] : ["--name", called]
      expect(await host.json(["load", "-i", box.path(file), ...named])).toMatchObject([{ reference: called }])
      for (const type of [[], ["--type", TYPE]]) {
        const verify = [
          "verify",
          "--key",
          box.path("theirs.pub"),
          "--any-reference",
          ...type,
          `store:${called}`,
        ]
        expect(await host.ok(verify)).toContain("valid")
      }
      await host.ok(["rmi", called])
      expect(await host.blobs()).toEqual([])
    }
    await using host = await Sandbox.create()
    await host.ok(["load", "-i", box.path("bare.tar")])
    await host.fails(["verify", "--key", box.path("theirs.pub"), `store:${name}`], "OVM_SIGNATURE_MISSING", [
      name,
    ])
  })

  test("a saved signature that is another artifact's is told as that", async () => {
    const image = await pushed("mixed")
    await run("sign", ...SIGN, "theirs.key", "--new-bundle-format=false", image)
    await run("save", "--allow-http-registry", "--dir", "mixed", image)
    const other = (await pushed("mixed-other")).split("@")[1] ?? ""
    await box.ok(["copy", `${registry.host}/saved/mixed-other:1`, "oci:./other"], { cwd: box.directory })
    const index = JSON.parse(await readFile(box.path("mixed/index.json"), "utf8"))
    const foreign = JSON.parse(await readFile(box.path("other/index.json"), "utf8")).manifests[0]
    index.manifests[0] = { ...foreign, annotations: { kind: "dev.cosignproject.cosign/image" } }
    await Bun.spawn(["cp", "-r", "other/blobs", "mixed/"], { cwd: box.directory }).exited
    await box.file("mixed/index.json", index)
    await box.fails(["verify", "--key", "theirs.pub", "./mixed"], "OVM_SIGNATURE_SUBJECT_MISMATCH", [other], {
      cwd: box.directory,
    })
  })

  test.each([2048, 4096])("RSA of %d bits: theirs and ours, both ways", async (bits) => {
    const image = await pushed(`rsa-${bits}`)
    await openssl("genrsa", "-out", `rsa-${bits}.pem`, `${bits}`)
    await run("import-key-pair", "--key", `rsa-${bits}.pem`, "--output-key-prefix", `rsa-${bits}`)
    await run("sign", ...SIGN, `rsa-${bits}.key`, "--new-bundle-format=false", image)
    expect(await box.ok(["verify", "--key", `rsa-${bits}.pub`, image], here())).toContain("valid signature")
    for (const key of [`rsa-${bits}.pem`, `rsa-${bits}.key`]) {
      const mine = await pushed(`rsa-${bits}-${key.slice(-3)}`)
      await box.ok(["sign", "--key", key, mine], here())
      await run("verify", "--insecure-ignore-tlog", "--allow-http-registry", "--key", `rsa-${bits}.pub`, mine)
    }
  })
})
