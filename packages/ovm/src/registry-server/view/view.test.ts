import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openRepository } from "@ovms/testkit/repository.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf, hexOf } from "../../content/digest.ts"
import { collectGarbage } from "../../content/layout/gc.ts"
import { type LayoutStore, openLayout } from "../../content/layout/store.ts"
import { collect, manifestOver, pushBytes, pushImage, text } from "../../content/store.testing.ts"
import { parseReference } from "../../registry/reference.ts"
import { expectError, startTest, type TestRegistry } from "../registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

async function serving(run: (registry: TestRegistry, store: LayoutStore) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "ovm-view-"))
  try {
    await using store = await openLayout(root, { create: true })
    await using registry = await startTest({ source: { store: root } })
    await run(registry, store)
    expect(registry.errors).toEqual([])
  } finally {
    await rm(root, { recursive: true })
  }
}

const tagged = async (registry: TestRegistry, repository: string, tag: string) =>
  (await registry.call("HEAD", `${repository}/manifests/${tag}`)).headers.get("docker-content-digest")

describe("the content store as a registry", () => {
  test("has its images under their names, to be pulled", () =>
    serving(async (registry, store) => {
      const image = await pushImage(store, "debian", "{}", "layer")
      await store.tag(image, "registry.example.com/machines/debian:13")
      const pulled = openRepository(parseReference(`${registry.host}/machines/debian`))
      expect(await pulled.resolve("13")).toMatchObject(image)
      expect(JSON.parse(await collect(pulled.fetch(image)))).toMatchObject({
        annotations: { note: "debian" },
      })
      const layer: Descriptor = { mediaType: "x/y", digest: digestOf("layer"), size: 5 }
      expect(await collect(pulled.fetch(layer))).toBe("layer")
      const part = await registry.call("GET", `machines/debian/blobs/${layer.digest}`, {
        headers: { Range: "bytes=1-2" },
      })
      expect({ status: part.status, content: await part.text() }).toEqual({ status: 206, content: "ay" })
      expect(await (await registry.call("GET", "_catalog")).json()).toEqual({
        repositories: ["machines/debian", "registry.example.com/machines/debian"],
      })
      expect(await (await registry.call("GET", "machines/debian/tags/list")).json()).toEqual({
        name: "machines/debian",
        tags: ["13"],
      })
      expect(await tagged(registry, "registry.example.com/machines/debian", "13")).toBe(image.digest)
    }))

  test("follows the store: what comes is there, what goes is not", () =>
    serving(async (registry, store) => {
      await expectError(await registry.call("GET", "a/tags/list"), 404, "NAME_UNKNOWN")
      const first = await pushImage(store, "first", "{}")
      await store.tag(first, "a:v1")
      expect(await tagged(registry, "a", "v1")).toBe(first.digest)
      const second = await pushImage(store, "second", "{}")
      await store.tag(second, "a:v1")
      expect(await tagged(registry, "a", "v1")).toBe(second.digest)
      await store.untag("a:v1")
      await expectError(await registry.call("GET", "a/manifests/v1"), 404, "MANIFEST_UNKNOWN")
      await store.close()
      await collectGarbage(store.root)
      await expectError(await registry.call("GET", `a/blobs/${digestOf("{}")}`), 404, "BLOB_UNKNOWN")
    }))

  test("gives a repository no more than hangs on its names", () =>
    serving(async (registry, store) => {
      await store.tag(await pushImage(store, "mine", "{}", "mine"), "mine:v1")
      await store.tag(await pushImage(store, "yours", "{}", "yours"), "yours:v1")
      const nameless = await pushBytes(store, text("nameless"))
      expect((await registry.call("GET", `mine/blobs/${digestOf("mine")}`)).status).toBe(200)
      for (const digest of [digestOf("yours"), nameless.digest])
        await expectError(await registry.call("GET", `mine/blobs/${digest}`), 404, "BLOB_UNKNOWN", digest)
    }))

  test("lists the referrers of what has a name, and serves them", () =>
    serving(async (registry, store) => {
      const image = await pushImage(store, "base", "{}")
      await store.tag(image, "a:v1")
      const config = await pushBytes(store, text("{}"), "application/vnd.example.config+json")
      const signature = manifestOver([config], "signature", { subject: image, artifactType: "x/signature" })
      const { digest } = await pushBytes(store, signature, image.mediaType)
      const path = `a/referrers/${image.digest}`
      for (const query of ["", "?artifactType=x/signature"])
        expect(await (await registry.call("GET", path + query)).json()).toMatchObject({
          manifests: [{ digest, artifactType: "x/signature", annotations: { note: "signature" } }],
        })
      expect(await (await registry.call("GET", `${path}?artifactType=x/other`)).json()).toMatchObject({
        manifests: [],
      })
      expect(await (await registry.call("GET", `a/manifests/${digest}`)).text()).toBe(
        Buffer.from(signature).toString(),
      )
    }))

  test("keeps names apart that differ in their hosts only", () =>
    serving(async (registry, store) => {
      const [local, one, two] = [
        await pushImage(store, "local", "{}"),
        await pushImage(store, "one", "{}"),
        await pushImage(store, "two", "{}"),
      ]
      await store.tag(local, "a:both")
      await store.tag(one, "one.example.com/a:both")
      await store.tag(one, "one.example.com/a:doubt")
      await store.tag(two, "localhost:5000/a:doubt")
      await store.tag(two, "one.example.com/a:same")
      await store.tag(two, "localhost:5000/a:same")
      expect(await tagged(registry, "a", "both")).toBe(local.digest)
      expect(await tagged(registry, "a", "same")).toBe(two.digest)
      await expectError(await registry.call("GET", "a/manifests/doubt"), 404, "MANIFEST_UNKNOWN")
      expect(await tagged(registry, "one.example.com/a", "doubt")).toBe(one.digest)
      expect(await tagged(registry, "localhost_5000/a", "doubt")).toBe(two.digest)
    }))

  test("serves nothing that is damaged", () =>
    serving(async (registry, store) => {
      const image = await pushImage(store, "base", "{}", "layer")
      await store.tag(image, "a:v1")
      const path = join(store.root, "blobs/sha256", hexOf(digestOf("layer")))
      await chmod(path, 0o600)
      await writeFile(path, "LAYER")
      await expectError(await registry.call("GET", `a/blobs/${digestOf("layer")}`), 404, "BLOB_UNKNOWN")
      expect((await registry.call("GET", `a/blobs/${digestOf("{}")}`)).status).toBe(200)
    }))

  test("is read-only", () =>
    serving(async (registry, store) => {
      await store.tag(await pushImage(store, "base", "{}"), "a:v1")
      for (const [method, path] of [
        ["POST", "a/blobs/uploads/"],
        ["PUT", "a/manifests/v2"],
        ["DELETE", "a/manifests/v1"],
      ] as const)
        await expectError(await registry.call(method, path, { body: "{}" }), 405, "UNSUPPORTED", "read-only")
    }))
})
