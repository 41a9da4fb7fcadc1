import { expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ext4Missing, makeExt4 } from "@ovms/testkit/ext.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { findPeer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { expectSuccess, finished, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// What a machine consists of, written down: the demo machine, a Debian, a snapshot of it, and what is not here.

const MACHINE = join(import.meta.dir, "../../../.cache/machine/machine.json")
const noMachine = (await Bun.file(MACHINE).exists()) ? "" : "there is no demo machine (make machine)"
const skip = guestMissing || ext4Missing || (Bun.which("qemu-img") ? "" : "qemu-img is not installed")
if (skip || noMachine) console.log(`SKIP packages/ovm/test/sbom.test.ts: ${skip || noMachine}`)

const STATUS = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b8\n"
const BASH = "pkg:deb/debian/bash@5.2.15-2+b8?arch=amd64&distro=debian-12"
const TREE = { "/var/lib/dpkg/status": STATUS, "/etc/os-release": "ID=debian\nVERSION_ID=12\n" }

test.skipIf(Boolean(noMachine))("the demo machine, whose userland no package manager made", async () => {
  await using box = await Sandbox.create()
  await box.ok(["pack", "-f", MACHINE, "-t", "demo:1"])
  const env = { SOURCE_DATE_EPOCH: "1735689600" }
  const { stdout, stderr } = await box.ovm(["sbom", "demo:1"], { env })
  expect(stderr).toBe("warning: the whole disk: it has no list of packages of dpkg or apk\n")
  expect(stdout).toBe((await box.ovm(["sbom", "demo:1"], { env })).stdout)
  const document = JSON.parse(stdout)
  expect(document.metadata.timestamp).toBe("2025-01-01T00:00:00.000Z")
  expect(document.components).toContainEqual(
    expect.objectContaining({ name: "linux", version: expect.stringMatching(/^6\.[\d.]+-\d+-amd64$/) }),
  )
  const { layers } = await box.json(["inspect", "demo:1"])
  for (const { digest } of layers) expect(stdout).toContain(digest)
  // Nothing of this host is in it.
  expect(stdout).not.toContain(box.directory)
})

test.skipIf(Boolean(skip))("packages of a Debian, and of a machine that runs from it", async () => {
  await using box = await Sandbox.create()
  await makeExt4(box.path("disk.raw"), TREE)
  const disk = { diskLayers: [{ path: box.path("disk.raw"), format: "raw" as const }] }
  await packGuest(join(box.home, "store"), "tests/debian:1", "tick_ms=20 button=1", disk)
  expect(await box.ok(["sbom", "tests/debian:1", "--output", box.path("m.json")])).toContain(", 1 package")
  expect(readFileSync(box.path("m.json"), "utf8")).toContain(BASH)

  await box.ok(["run", "-d", "--name", "source", "tests/debian:1"])
  await box.console("source", "TICK 3")
  await box.ok(["snapshot", "source", "--tag", "warm"])
  const about = await box.json(["sbom", "tests/debian:warm", "--format", "spdx", "-o", box.path("s.json")])
  expect(about).toMatchObject({ format: "spdx", packages: 1 })
  const text = readFileSync(box.path("s.json"), "utf8")
  const { ram, state, base } = await box.json(["inspect", "tests/debian:warm"])
  for (const digest of [ram.digest, state.digest, base]) expect(text).toContain(digest.slice(7))
  expect(text).toContain(BASH)
})

test.skipIf(Boolean(skip || registryMissing))("only what is here can be looked into", async () => {
  await using registry = await startRegistry()
  await using box = await Sandbox.create()
  const name = `${registry.host}/tests/guest:1`
  await packGuest(join(box.home, "store"), name, "")
  await box.ok(["push", name])
  await box.ok(["rmi", name])
  await box.fails(["sbom", name], "OVM_CONTENT_MISSING", [name, `hint: ovm pull ${name}`])
  await box.fails(["sbom", "nothing:1"], "OVM_NAME_UNKNOWN", ["nothing:1"])
  await box.fails(["sbom", name, "--json"], "OVM_USAGE", ["--output"])
  await box.fails(["sbom", name, "--format", "xml"], "OVM_USAGE", ["cyclonedx, spdx"])
  await box.fails(["sbom", name], "OVM_SOURCE_INVALID", ["SOURCE_DATE_EPOCH"], {
    env: { SOURCE_DATE_EPOCH: "today" },
  })
})

const cosign = findPeer("cosign")
if (!cosign) console.log("SKIP packages/ovm/test/sbom.test.ts: cosign is not there (make peers)")

test.skipIf(Boolean(skip || !cosign)).each(["docker-registry", "ggcr-registry"] as const)(
  "attached documents and provenance are attestations to cosign (%s)",
  async (program) => {
    await using registry = await startRegistry({ program })
    await using box = await Sandbox.create()
    await makeExt4(box.path("disk.raw"), TREE)
    await box.ok(["key", "generate"], { env: { COSIGN_PASSWORD: "" } })
    const name = `${registry.host}/machines/debian:1`
    const env = { COSIGN_PASSWORD: "" }
    const signed = ["--key", "cosign.key"]
    const pack = ["pack", "--layer", "disk.raw", "-t", name, "--provenance", ...signed, "--json"]
    const packed = JSON.parse(await box.ok(pack, { env }))
    expect(packed).toEqual({ reference: name, digest: packed.digest, attestation: expect.any(String) })
    expect(await Bun.file(box.path("provenance.json")).exists()).toBe(false)

    // On this host before there is anything in the registry, and there once it is.
    await box.ok(["sbom", `store:${name}`, "--attach", ...signed], { env })
    await box.ok(["push", "--include-referrers", name])
    const attach = ["sbom", name, "--attach", ...signed, "--format", "spdx", "--json"]
    expect(JSON.parse(await box.ok(attach, { env }))).toMatchObject({ digest: packed.digest, packages: 1 })

    for (const [type, said] of [
      ["slsaprovenance1", "urn:ovms:build:pack:v1"],
      ["cyclonedx", BASH],
      ["spdxjson", BASH],
    ] as const) {
      const flags = ["--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-http-registry", "--type", type]
      const args = ["verify-attestation", ...flags, `${name.replace(/:1$/, "")}@${packed.digest}`]
      const child = spawn(cosign ?? "", args, { cwd: box.directory, env: { HOME: box.directory } })
      const result = await finished(child)
      expectSuccess(result, ["cosign", ...args])
      expect(Buffer.from(JSON.parse(result.stdout).payload, "base64").toString()).toContain(said)
      expect(await box.ok(["verify", "--key", "cosign.pub", "--type", type, name])).toContain("valid")
    }
    const graph = await box.json(["discover", "--key", "cosign.pub", name])
    expect(graph.sboms).toMatchObject([{ status: "valid" }, { status: "valid" }])
    expect(graph.attestations).toMatchObject([
      { status: "valid", predicate_type: "https://slsa.dev/provenance/v1" },
    ])

    // What was looked into here has to be what is there.
    await box.file("other.raw", Buffer.alloc(4096, 1))
    const other = await box.json(["pack", "--layer", "other.raw", "-t", name])
    const culprits = [name, packed.digest, other.digest]
    await box.fails(["sbom", name, "--attach", ...signed], "OVM_DIGEST_MISMATCH", culprits, { env })
  },
)

test.skipIf(Boolean(skip))("who signs has to be named, and something to sign", async () => {
  await using box = await Sandbox.create()
  await box.file("disk.raw", Buffer.alloc(4096, 1))
  await box.ok(["pack", "--layer", "disk.raw", "-t", "m:1"])
  await box.fails(["sbom", "m:1", "--attach"], "OVM_USAGE", ["--key"])
  await box.fails(["sbom", "m:1", "--key", "k"], "OVM_USAGE", ["--attach"])
  await box.fails(["pack", "--layer", "disk.raw", "-t", "m:2", "--key", "k"], "OVM_USAGE", ["--provenance"])
  const unsigned = ["pack", "--layer", "disk.raw", "-t", "m:2", "--provenance", "--key", "nowhere.key"]
  await box.fails(unsigned, "OVM_FILE_UNREADABLE", ["nowhere.key"])
  // The key is looked for first: nothing was packed.
  await box.fails(["inspect", "m:2"], "OVM_NAME_UNKNOWN", ["m:2"])
})
