import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { digestOf } from "../src/content/digest.ts"
import { openLayout } from "../src/content/layout/store.ts"
import { bytesOf } from "../src/content/read.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// The digits that `ovm images` shows name an image wherever its name does.

const OCI = "application/vnd.oci.image.manifest.v1+json"

const skip = guestMissing
if (skip) console.log(`SKIP packages/ovm/test/digests.test.ts: ${skip}`)

/** Two manifests whose digests start with the same four digits. */
function twins(): [Uint8Array, Uint8Array] {
  const seen = new Map<string, Uint8Array>()
  for (let count = 0; ; count++) {
    const config = { mediaType: "application/json", digest: digestOf(""), size: 0 }
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI,
      config,
      layers: [],
      annotations: { n: `${count}` },
    })
    const start = digestOf(text).slice(0, 11)
    const other = seen.get(start)
    if (other) return [other, Buffer.from(text)]
    seen.set(start, Buffer.from(text))
  }
}

describe.skipIf(Boolean(skip))("the start of a digest", () => {
  let box: Sandbox
  let digest: string
  let short: string

  beforeAll(async () => {
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    const args = ["--kernel", "kernel", "--args", "console=ttyS0 tick_ms=20", "--memory", "32MiB"]
    digest = (
      await box.json(["pack", ...args, "-t", "registry.example.com/demo/first:1"], { cwd: box.directory })
    ).digest
    const [, line = ""] = (await box.ok(["images"])).split("\n")
    short = line.split(/ +/)[3] ?? ""
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("is what `ovm images` shows, and enough to inspect, validate, check, save and copy an image", async () => {
    expect(digest).toStartWith(`sha256:${short}`)
    for (const spelling of [short, `sha256:${short}`, digest, short.slice(0, 4)])
      expect(await box.json(["inspect", spelling])).toMatchObject({
        digest,
        reference: "registry.example.com/demo/first:1",
      })
    expect(await box.ok(["validate", short])).toBe(`${short}: valid (image)`)
    expect(await box.json(["policy", "check", short])).toMatchObject({ digest, allowed: true })
    expect((await box.json(["sbom", short, "-o", "sbom.json"])).digest).toBe(digest)
    expect(await box.json(["discover", short])).toMatchObject({ image: short })
    expect(await box.json(["save", "-o", "one.tar", short])).toMatchObject({
      images: [{ reference: "registry.example.com/demo/first:1", digest }],
    })
    expect(await box.json(["copy", `store:${short}`, "oci:./layout:1"])).toMatchObject({ digest })
    await box.ok(["key", "generate"], { env: { COSIGN_PASSWORD: "x" } })
    expect(await box.ok(["sign", "--key", "cosign.key", short], { env: { COSIGN_PASSWORD: "x" } })).toContain(
      digest,
    )
    // Its own name is in a registry, but what was asked for is here.
    await box.fails(["push", short], "OVM_REGISTRY_UNREACHABLE", ["registry.example.com"])
  })

  test("tags, and a name goes before it", async () => {
    await using host = await Sandbox.create()
    await host.ok(["load", "-i", box.path("one.tar"), "--name", "first"])
    for (const [image, name] of [
      [digest, "by-digest"],
      [`sha256:${short}`, "by-prefix"],
      [short, "by-digits"],
    ] as const)
      await host.ok(["tag", image, name])
    expect(await host.json(["inspect", "by-digits"])).toMatchObject({ digest })
    // Of an image with several names no one can be meant.
    await host.fails(["rmi", short], "OVM_USAGE", ["by-digest:latest", "by-digits:latest", "first:latest"])
    await host.ok(["tag", "first", "cafe"])
    expect(await host.ok(["rmi", "cafe", "first", "by-digest", "by-digits"])).toStartWith(
      "untagged cafe:latest\n",
    )
    expect(await host.ok(["rmi", `sha256:${short}`])).toContain("untagged by-prefix:latest")
    await host.fails(["inspect", digest], "OVM_NAME_UNKNOWN", [digest])
    await host.fails(["inspect", `sha256:${short}`], "OVM_NAME_UNKNOWN", [`sha256:${short}`])
    await host.fails(["inspect", short], "OVM_NAME_UNKNOWN", [`${short}:latest`])
  })

  test("of several images is refused with all of them", async () => {
    await using host = await Sandbox.create()
    await host.ok(["load", "-i", box.path("one.tar"), "--name", "first"])
    const manifests = twins()
    const digests = manifests.map((bytes) => digestOf(bytes))
    {
      await using store = await openLayout(join(host.home, "store"))
      for (const [index, bytes] of manifests.entries()) {
        const target = { mediaType: OCI, digest: digestOf(bytes), size: bytes.byteLength }
        await store.push(target, bytesOf(bytes))
        await store.tag(target, `twin:${index}`)
      }
    }
    const start = digests[0]?.slice(7, 11) ?? ""
    for (const command of [
      ["inspect", start],
      ["tag", `sha256:${start}`, "x"],
      ["run", "-d", start],
      ["rmi", start],
    ])
      await host.fails(command, "OVM_USAGE", [
        `${start} is the start of 2 digests`,
        ...digests,
        "twin:0",
        "twin:1",
      ])
    // One that is only the longer start of one of them is not.
    const own = digests[1]?.slice(7, 19) ?? ""
    expect(await host.ok(["rmi", own])).toContain("untagged twin:1")
  })

  test("runs: an image, a snapshot by what `ovm snapshot` printed, and a base that has no name of its own", async () => {
    await box.ok(["run", "-d", "--name", "source", short])
    expect((await box.json(["status", "source"])).image).toMatchObject({ digest })
    const snapshot = await box.ok(["snapshot", "source", "--tag", "s1"])
    await box.ok(["run", "-d", "--name", "clone", snapshot])
    await box.ok(["start", "--name", "other", snapshot.slice(7, 19)])
    for (const name of ["clone", "other"])
      expect(await box.json(["status", name])).toMatchObject({ state: "running", snapshot })
    expect(await box.json(["warm", snapshot.slice(7, 19), "-n", "0"])).toMatchObject({ slots: 0 })

    await using there = await Sandbox.create()
    await box.ok(["save", "-o", "snapshot.tar", snapshot])
    await there.ok(["load", "-i", box.path("snapshot.tar")])
    expect((await there.json(["images"])).map((image: { digest: string }) => image.digest)).toEqual([
      snapshot,
    ])
    expect(await there.json(["inspect", short])).toMatchObject({ digest })
    await there.fails(["run", "-d", short], "OVM_NAME_UNKNOWN", [`ovm tag ${digest} NAME`])
    await there.ok(["tag", short, "base"])
    expect(await there.json(["inspect", "base"])).toMatchObject({ digest })
  })
})
