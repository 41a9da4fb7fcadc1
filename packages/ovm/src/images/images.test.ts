import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { refusal } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { collectGarbage } from "../content/layout/gc.ts"
import { openLayout } from "../content/layout/store.ts"
import { pushed } from "../signing/bundle/write.ts"
import { Policy } from "../signing/policy/policy.ts"
import { type Images, openImages } from "./images.ts"
import type { OpenImageOptions } from "./open.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const UNSIGNED = "the machine is not signed, and no policy asks for that"
const NEVER: OpenImageOptions = { lease: "test", pull: "never" }

let root: string
let images: Images

/** What is known of an image that was opened, and is leased since. */
async function opened(reference: string, options: OpenImageOptions) {
  const open = await images.open(reference, options)
  await open.close()
  return open.image
}

/** The blobs of the store, by file name. */
const blobs = async () => (await readdir(join(root, "store/blobs/sha256"))).sort()

describe.skipIf(guestMissing !== "")(`images ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-images-"))
    images = await openImages(
      join(root, "store"),
      join(root, "derived"),
      new Policy(join(root, "policy.json")),
    )
    await packGuest(join(root, "other"), "one:latest", "ticks=1")
  })
  afterAll(() => rm(root, { recursive: true }))

  test("a name gives verified files, which the lease holds against the collector until it is released", async () => {
    await packGuest(join(root, "store"), "gone:latest", "ticks=7")
    const image = await opened("gone", NEVER)
    expect(image).toMatchObject({
      reference: "gone:latest",
      layers: [],
      virtualSize: 0,
      warnings: [UNSIGNED],
    })
    expect(await readFile(image.kernel?.path ?? "")).toEqual(await readFile(await buildGuest()))
    await writeFile(join(root, "store/index.json"), '{"schemaVersion":2,"manifests":[]}')
    expect((await collectGarbage(join(root, "store"))).removed).toEqual([])
    await images.release("test")
    expect((await collectGarbage(join(root, "store"))).removed).toHaveLength(3)
    expect(await blobs()).toEqual([])
  })

  test("leases of instances that are no more are given back", async () => {
    await packGuest(join(root, "store"), "kept:latest", "ticks=8")
    await opened("kept", { ...NEVER, lease: "a" })
    await images.keepLeases(new Map())
    await writeFile(join(root, "store/index.json"), '{"schemaVersion":2,"manifests":[]}')
    expect((await collectGarbage(join(root, "store"))).removed).toHaveLength(3)
  })

  // OVMS-REF-010
  test("a layout of one artifact is named by its folder, one of several by folder and tag", async () => {
    const one = await opened(join(root, "other"), NEVER)
    expect(one).toMatchObject({
      reference: "localhost/test/guest",
      manifest: { kernel: { args: "ticks=1" } },
    })
    await packGuest(join(root, "other"), "two:latest", "ticks=2")
    const error = await refusal(opened(join(root, "other"), NEVER))
    expect(error.code).toBe("OVM_ARTIFACT_INVALID")
    expect(error.hint).toContain("one:latest")
    const two = await opened(`${join(root, "other")}:two:latest`, NEVER)
    expect(two.manifest.kernel?.args).toBe("ticks=2")
    expect((await refusal(opened(`${join(root, "other")}:three`, NEVER))).code).toBe("OVM_NAME_UNKNOWN")
    expect((await refusal(opened(join(root, "nowhere:x"), NEVER))).code).toBe("OVM_FILE_UNREADABLE")
  })

  // OVMS-REF-010, OVMS-REF-011
  test("a manifest file finds its blobs beside it, whatever they are called", async () => {
    const folder = join(root, "beside")
    await mkdir(folder)
    const digest = await packGuest(join(root, "source"), "x:latest", "ticks=3", {
      initrd: { path: import.meta.path },
    })
    const blob = (name: string) => join(root, "source/blobs/sha256", name.slice(7))
    const oci = JSON.parse(await readFile(blob(digest), "utf8"))
    await cp(blob(oci.config.digest), join(folder, "manifest.json"))
    await cp(blob(oci.layers[0].digest), join(folder, "kernel.bin"))
    const error = await refusal(opened(join(folder, "manifest.json"), NEVER))
    expect(error.code).toBe("OVM_CONTENT_MISSING")
    expect(error.message).toContain("/initrd/ref")
    await cp(blob(oci.layers[1].digest), join(folder, "any name"))
    const image = await opened(join(folder, "manifest.json"), NEVER)
    expect(image.digest).toBe(digest)
    expect(image.manifest.kernel?.args).toBe("ticks=3")
    expect(await readFile(image.initrd?.path ?? "")).toEqual(await readFile(import.meta.path))
    await writeFile(join(folder, "broken.json"), "{}")
    expect((await refusal(opened(join(folder, "broken.json"), NEVER))).code).toBe("OVM_MANIFEST_INVALID")
  })

  // OVMS-REF-012
  test("an archive that is compressed is refused as such", async () => {
    for (const name of ["layout.tar.gz", "layout"]) {
      await writeFile(join(root, name), gzipSync(Buffer.alloc(10_240)))
      const error = await refusal(opened(join(root, name), NEVER))
      expect([error.code, error.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("gzip")])
    }
  })

  // OVMS-REF-013
  test("what a path names is verified and judged as everything is", async () => {
    const folder = join(root, "suspect")
    const blob = (name: string) => join(folder, "blobs/sha256", name.slice(7))
    const digest = await packGuest(folder, "spoilt:1", "ticks=4")
    const oci = JSON.parse(await readFile(blob(digest), "utf8"))
    {
      await using store = await openLayout(folder)
      const manifest = JSON.parse(await readFile(blob(oci.config.digest), "utf8"))
      const wrong = { ...manifest, kernel: { ...manifest.kernel, args: "a\nb" } }
      const config = await pushed(store, oci.config.mediaType, Buffer.from(JSON.stringify(wrong)), {})
      const bytes = Buffer.from(JSON.stringify({ ...oci, config }))
      await store.tag(await pushed(store, oci.mediaType, bytes, {}), "wrong:1")
    }
    const judged = await refusal(opened(`${folder}:wrong:1`, NEVER))
    expect([judged.code, judged.message]).toEqual([
      "OVM_MANIFEST_INVALID",
      expect.stringContaining("/kernel/args"),
    ])
    const kernel = await readFile(blob(oci.layers[0].digest))
    await chmod(blob(oci.layers[0].digest), 0o600)
    await writeFile(blob(oci.layers[0].digest), kernel.with(-1, (kernel.at(-1) ?? 0) ^ 1))
    const verified = await refusal(opened(`${folder}:spoilt:1`, NEVER))
    expect([verified.code, verified.message]).toEqual([
      "OVM_DIGEST_MISMATCH",
      expect.stringContaining(oci.layers[0].digest),
    ])
  })

  test("only a name with a host is worth a pull", async () => {
    const unknown = await refusal(opened("nothing:1", NEVER))
    expect(unknown.code).toBe("OVM_NAME_UNKNOWN")
    expect(images.canPull("nothing:1", unknown)).toBe(false)
    expect(images.canPull("localhost:5000/nothing:1", unknown)).toBe(true)
    expect(images.canPull("/nothing", unknown)).toBe(false)
  })
})
