import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { digestOf, hexOf } from "../../content/digest.ts"
import { failure } from "../../content/store.testing.ts"
import {
  beginUpload,
  expectError,
  pushBlob,
  pushManifest,
  startTest,
  type TestRegistry,
} from "../registry.testing.ts"
import { openFolder } from "./open.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

const blobs = async (registry: TestRegistry) =>
  (await readdir(join(registry.root, "blobs/sha256")).catch(() => [])).sort()
const uploadFile = (registry: TestRegistry, location: string) =>
  join(registry.root, "repositories/a/_uploads", location.slice(location.lastIndexOf("/") + 1))
const LONG_AGO = new Date("2001-01-01")

describe("after a restart", () => {
  test("everything is there, and an upload goes on", async () => {
    await using registry = await startTest()
    const blob = await pushBlob(registry, "a", "blob")
    const subject = await pushManifest(registry, "a", "v1")
    const referrer = await pushManifest(registry, "a", "", { subject })
    const body = "part".repeat(200_000)
    const location = await beginUpload(registry, "a")
    await registry.call("PATCH", location, { body: body.slice(0, 600_000) })
    await registry.restart()
    expect(await (await registry.call("GET", `a/blobs/${blob.digest}`)).text()).toBe("blob")
    expect((await registry.call("GET", "a/manifests/v1")).headers.get("docker-content-digest")).toBe(
      subject.digest,
    )
    expect(await (await registry.call("GET", `a/referrers/${subject.digest}`)).json()).toMatchObject({
      manifests: [{ digest: referrer.digest }],
    })
    expect((await registry.call("GET", location)).headers.get("range")).toBe("0-599999")
    const headers = { "Content-Range": "600000-799999" }
    const put = await registry.call("PUT", `${location}?digest=${digestOf(body)}`, {
      body: body.slice(600_000),
      headers,
    })
    expect(put.status).toBe(201)
    expect(await (await registry.call("GET", `a/blobs/${digestOf(body)}`)).text()).toBe(body)
  })

  test("what was lost of an upload meanwhile is noticed", async () => {
    await using registry = await startTest()
    const body = "part".repeat(200_000)
    const location = await beginUpload(registry, "a")
    await registry.call("PATCH", location, { body })
    await registry.restart()
    // As after a crash of the host: the length is right, the content is not.
    await writeFile(uploadFile(registry, location), "zero".repeat(200_000))
    const put = await registry.call("PUT", `${location}?digest=${digestOf(body)}`)
    await expectError(put, 400, "DIGEST_INVALID")
    expect(await blobs(registry)).toEqual([])
  })
})

describe("the sweep", () => {
  test("takes uploads away that nobody went on with", async () => {
    await using registry = await startTest()
    const old = await beginUpload(registry, "a")
    const fresh = await beginUpload(registry, "a")
    await utimes(uploadFile(registry, old), LONG_AGO, LONG_AGO)
    await registry.restart()
    await expectError(await registry.call("GET", old), 404, "BLOB_UPLOAD_UNKNOWN")
    expect((await registry.call("GET", fresh)).status).toBe(204)
  })

  test("comes again and again", async () => {
    await using registry = await startTest({ sweepMs: 10, uploadExpiryMs: 50 })
    const location = await beginUpload(registry, "a")
    await registry.call("PATCH", location, { body: "x".repeat(600_000) })
    const status = async () => (await registry.call("GET", location)).status
    await until("it is swept", status, { is: (status) => status === 404 })
    expect(existsSync(uploadFile(registry, location))).toBe(false)
    expect(registry.errors).toEqual([])
  })

  test("frees what was deleted, and nothing that somebody has", async () => {
    await using registry = await startTest()
    const mine = await pushBlob(registry, "a", "mine")
    const shared = await pushBlob(registry, "a", "shared")
    await registry.call("POST", `b/blobs/uploads/?mount=${shared.digest}&from=a`)
    const image = await pushManifest(registry, "a", "v1")
    for (const { digest } of [mine, shared]) await registry.call("DELETE", `a/blobs/${digest}`)
    await registry.restart()
    const kept = [shared.digest, image.digest, digestOf("{}")]
    expect(await blobs(registry)).toEqual(kept.map(hexOf).sort())
    await registry.call("DELETE", `b/blobs/${shared.digest}`)
    await registry.call("DELETE", `a/manifests/${image.digest}`)
    await registry.call("DELETE", `a/blobs/${digestOf("{}")}`)
    await registry.restart()
    expect(await blobs(registry)).toEqual([])
    expect(await readdir(join(registry.root, "repositories"))).toEqual([])
  })

  test("keeps blobs for a day that no manifest names", async () => {
    await using registry = await startTest()
    const fresh = await pushBlob(registry, "a", "fresh")
    const stale = await pushBlob(registry, "a", "stale")
    const image = await pushManifest(registry, "a", "v1")
    for (const digest of [stale.digest, digestOf("{}")])
      await utimes(join(registry.root, "repositories/a/_blobs", digest), LONG_AGO, LONG_AGO)
    await registry.restart()
    expect(await blobs(registry)).toEqual([fresh.digest, image.digest, digestOf("{}")].map(hexOf).sort())
    await expectError(await registry.call("GET", `a/blobs/${stale.digest}`), 404, "BLOB_UNKNOWN")
  })

  test("does not hold up, or lose, what comes meanwhile", async () => {
    await using registry = await startTest({ sweepMs: 1 })
    for (let round = 0; round < 8; round++) {
      const pushed = await Promise.all(
        Array.from({ length: 4 }, (_, at) => pushManifest(registry, `r${at}`, `v${round}`)),
      )
      for (const [at, { digest }] of pushed.entries())
        expect((await registry.call("GET", `r${at}/manifests/${digest}`)).status).toBe(200)
    }
    expect(registry.errors).toEqual([])
  })
})

describe("a folder", () => {
  async function inFolder(run: (root: string) => Promise<void>): Promise<void> {
    const root = await mkdtemp(join(tmpdir(), "ovm-folder-"))
    try {
      await run(root)
    } finally {
      await rm(root, { recursive: true })
    }
  }

  test("has one writer, or readers", () =>
    inFolder(async (root) => {
      {
        await using _ = await openFolder(root)
        expect((await failure(openFolder(root), "OVM_STORE_BUSY")).message).toContain(root)
        await failure(openFolder(root, { readOnly: true }), "OVM_STORE_BUSY")
      }
      await using _one = await openFolder(root, { readOnly: true })
      await using _two = await openFolder(root, { readOnly: true })
      await failure(openFolder(root), "OVM_STORE_BUSY")
    }))

  test("of something else is not touched", () =>
    inFolder(async (root) => {
      await writeFile(join(root, "letter.txt"), "dear")
      expect((await failure(openFolder(root), "OVM_FILE_UNREADABLE")).message).toContain(root)
      await failure(openFolder(root, { readOnly: true }), "OVM_FILE_UNREADABLE")
      expect(await readdir(root)).toEqual(["letter.txt"])
      await failure(openFolder(join(root, "letter.txt")), "OVM_FILE_UNREADABLE")
    }))

  test("of another version is refused", () =>
    inFolder(async (root) => {
      for (const marker of ['{"registryVersion":2}', "[]", "nonsense"]) {
        await writeFile(join(root, "ovm-registry.json"), marker)
        expect((await failure(openFolder(root), "OVM_STORE_CORRUPT")).message).toContain("ovm-registry.json")
      }
    }))

  test("is closed to others", () =>
    inFolder(async (root) => {
      const inside = join(root, "new/registry")
      await using _ = await openFolder(inside)
      for (const name of ["", "repositories", "tmp"])
        expect((await stat(join(inside, name))).mode & 0o777).toBe(0o700)
    }))
})

test("read-only: everything but pulls is refused, and nothing changes", async () => {
  await using writer = await startTest()
  const { digest } = await pushManifest(writer, "a", "v1")
  const location = await beginUpload(writer, "a")
  const source = { root: await mkdtemp(join(tmpdir(), "ovm-read-only-")), readOnly: true }
  try {
    await rm(source.root, { recursive: true })
    await Bun.$`cp -r ${writer.root} ${source.root}`.quiet()
    await using registry = await startTest({ source })
    expect((await registry.call("GET", "a/manifests/v1")).headers.get("docker-content-digest")).toBe(digest)
    for (const [method, path] of [
      ["POST", "a/blobs/uploads/"],
      ["PATCH", location],
      ["GET", location],
      ["PUT", "a/manifests/v2"],
      ["DELETE", "a/manifests/v1"],
      ["DELETE", `a/blobs/${digestOf("{}")}`],
    ] as const)
      await expectError(
        await registry.call(method, path, method === "GET" ? {} : { body: "{}" }),
        405,
        "UNSUPPORTED",
      )
  } finally {
    await rm(source.root, { recursive: true, force: true })
  }
})

test("a fault of this host is a 500 that says nothing of it", async () => {
  await using registry = await startTest()
  await pushBlob(registry, "a", "x")
  await writeFile(join(registry.root, "repositories/b"), "not a folder")
  const answer = await registry.call("POST", "b/blobs/uploads/")
  expect(await answer.clone().text()).not.toContain(registry.root)
  await expectError(answer, 500, "OVM_INTERNAL")
  expect(registry.errors).toHaveLength(1)
})
