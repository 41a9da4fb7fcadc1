import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { describeBytes, manifestOver } from "../content/store.testing.ts"
import { pageOf } from "./page.ts"
import {
  expectError,
  pushBlob,
  pushManifest,
  putManifest,
  startTest,
  type TestRegistry,
} from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

interface Listing {
  readonly tags: string[]
  readonly repositories: string[]
  readonly manifests: { digest: string; artifactType?: string; annotations?: Record<string, string> }[]
}

/** All pages from `path` on, by their Links. */
async function pages(registry: TestRegistry, path: string): Promise<Listing[]> {
  const found: Listing[] = []
  for (let next: string | undefined = path; next; ) {
    const answer: Response = await registry.call("GET", next)
    expect(answer.status).toBe(200)
    found.push((await answer.json()) as Listing)
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1]
  }
  return found
}

describe("the list of tags", () => {
  test("is sorted and comes in pages", async () => {
    await using registry = await startTest()
    const config = await pushBlob(registry, "a", "{}")
    for (const tag of ["b", "a", "C", "a.1", "_z", "10", "9"])
      await putManifest(registry, "a", tag, manifestOver([config]))
    const sorted = ["10", "9", "C", "_z", "a", "a.1", "b"]
    expect(await pages(registry, "a/tags/list")).toMatchObject([{ name: "a", tags: sorted }])
    expect((await pages(registry, "a/tags/list?n=3")).map(({ tags }) => tags)).toEqual([
      sorted.slice(0, 3),
      sorted.slice(3, 6),
      sorted.slice(6),
    ])
    expect((await pages(registry, "a/tags/list?n=7")).map(({ tags }) => tags)).toEqual([sorted])
    expect((await pages(registry, "a/tags/list?n=2&last=_z")).flatMap(({ tags }) => tags)).toEqual(
      sorted.slice(4),
    )
    // A tag that went away since the last page.
    expect((await pages(registry, "a/tags/list?last=_zz")).flatMap(({ tags }) => tags)).toEqual(
      sorted.slice(4),
    )
    expect((await pages(registry, "a/tags/list?last=zzz")).flatMap(({ tags }) => tags)).toEqual([])
    expect((await pages(registry, "a/tags/list?n=0")).map(({ tags }) => tags)).toEqual([[]])
  })

  test("has at most 1000 in a page, whatever is asked for", () => {
    const sorted = Array.from({ length: 1020 }, (_, at) => `t${at}`).sort()
    const { entries, headers } = pageOf(sorted, new URL("http://x/v2/a/tags/list?n=100000"))
    expect(entries).toEqual(sorted.slice(0, 1000))
    expect(headers).toEqual({ Link: `</v2/a/tags/list?n=1000&last=${sorted[999]}>; rel="next"` })
    expect(pageOf(sorted, new URL("http://x/v2/a/tags/list")).entries).toHaveLength(1000)
  })

  test("is of a repository that exists", async () => {
    await using registry = await startTest()
    await expectError(await registry.call("GET", "a/tags/list"), 404, "NAME_UNKNOWN", '"a"')
    await registry.call("POST", "a/blobs/uploads/")
    await expectError(await registry.call("GET", "a/tags/list"), 404, "NAME_UNKNOWN", '"a"')
    await pushBlob(registry, "a", "x")
    expect(await pages(registry, "a/tags/list")).toMatchObject([{ tags: [] }])
  })

  test("wants a number", async () => {
    await using registry = await startTest()
    await pushBlob(registry, "a", "x")
    for (const n of ["-1", "x", "1.5", ""])
      await expectError(await registry.call("GET", `a/tags/list?n=${n}`), 400, "UNSUPPORTED")
  })
})

test("the catalog lists repositories in pages", async () => {
  await using registry = await startTest()
  for (const name of ["b", "a/b", "a", "a/b/c"]) await pushBlob(registry, name, "x")
  await registry.call("POST", "unborn/blobs/uploads/")
  const all = ["a", "a/b", "a/b/c", "b"]
  expect(await pages(registry, "_catalog")).toMatchObject([{ repositories: all }])
  expect((await pages(registry, "_catalog?n=3")).map(({ repositories }) => repositories)).toEqual([
    all.slice(0, 3),
    all.slice(3),
  ])
})

describe("the list of referrers", () => {
  const list = async (registry: TestRegistry, path: string) =>
    (await pages(registry, path)).flatMap(({ manifests }) => manifests)

  test("has each with its type and annotations, and filters", async () => {
    await using registry = await startTest()
    const subject = await pushManifest(registry, "a", "v1")
    const sbom = await pushManifest(registry, "a", "sbom", { subject, artifactType: "x/sbom" })
    const plain = await pushManifest(registry, "a", "", { subject })
    const path = `a/referrers/${subject.digest}`
    const sorted = [sbom, plain].sort((one, other) => (one.digest < other.digest ? -1 : 1))
    expect((await list(registry, path)).map(({ digest }) => digest)).toEqual(
      sorted.map(({ digest }) => digest),
    )
    expect((await list(registry, path)).find(({ digest }) => digest === sbom.digest)).toEqual({
      mediaType: sbom.mediaType,
      digest: sbom.digest,
      size: sbom.size,
      artifactType: "x/sbom",
      annotations: { note: "sbom" },
    } as Listing["manifests"][0])
    // Without an artifactType it has that of its config.
    expect(await list(registry, `${path}?artifactType=application/octet-stream`)).toMatchObject([
      { digest: plain.digest, artifactType: "application/octet-stream" },
    ])
    const filtered = await registry.call("GET", `${path}?artifactType=${encodeURIComponent("x/sbom")}`)
    expect(filtered.headers.get("oci-filters-applied")).toBe("artifactType")
    expect(filtered.headers.get("content-type")).toBe("application/vnd.oci.image.index.v1+json")
    expect(((await filtered.json()) as Listing).manifests.map(({ digest }) => digest)).toEqual([sbom.digest])
    expect((await registry.call("GET", path)).headers.get("oci-filters-applied")).toBeNull()
  })

  test("is empty for what nobody refers to, and outlives and precedes its subject", async () => {
    await using registry = await startTest()
    const subject = describeBytes(manifestOver([], "later"), "application/vnd.oci.image.manifest.v1+json")
    const path = `a/referrers/${subject.digest}`
    expect(await pages(registry, path)).toEqual([
      { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] } as never,
    ])
    const config = await pushBlob(registry, "a", "{}")
    const answer = await putManifest(registry, "a", "early", manifestOver([config], "early", { subject }))
    expect(answer.headers.get("oci-subject")).toBe(subject.digest)
    const digest = answer.headers.get("docker-content-digest") ?? ""
    expect(await list(registry, path)).toMatchObject([{ digest }])
    expect(await list(registry, `b/referrers/${subject.digest}`)).toEqual([])
    await registry.call("DELETE", `a/manifests/${digest}`)
    expect(await list(registry, path)).toEqual([])
    await expectError(await registry.call("GET", "a/referrers/latest"), 400, "DIGEST_INVALID", "latest")
  })

  test("loses no entry of writers at once", async () => {
    await using registry = await startTest()
    const subject = await pushManifest(registry, "a", "v1")
    const config = await pushBlob(registry, "a", "{}")
    const bodies = Array.from({ length: 40 }, (_, at) => manifestOver([config], `${at}`, { subject }))
    await Promise.all(bodies.map((body) => putManifest(registry, "a", describeBytes(body).digest, body)))
    const found = await list(registry, `a/referrers/${subject.digest}`)
    expect(found.map(({ digest }) => digest)).toEqual(
      bodies.map((body) => describeBytes(body).digest).sort() as string[],
    )
  })

  test("comes in pages that are no larger than a manifest may be", async () => {
    await using registry = await startTest()
    const subject = await pushManifest(registry, "a", "v1")
    const config = await pushBlob(registry, "a", "{}")
    const bodies = Array.from({ length: 5 }, (_, at) =>
      manifestOver([config], `${at}${"x".repeat(1_500_000)}`, {
        subject,
        artifactType: at === 4 ? "x/odd" : "x/even",
      }),
    )
    for (const body of bodies) await putManifest(registry, "a", describeBytes(body).digest, body)
    const path = `a/referrers/${subject.digest}`
    const found = await pages(registry, path)
    expect(found.map(({ manifests }) => manifests.length)).toEqual([2, 2, 1])
    for (const page of found) expect(JSON.stringify(page).length).toBeLessThan(4 * 1024 * 1024)
    const digests = bodies.map((body) => describeBytes(body).digest as string)
    expect(found.flatMap(({ manifests }) => manifests.map(({ digest }) => digest))).toEqual(digests.sort())
    const even = await pages(registry, `${path}?artifactType=x/even`)
    expect(even.map(({ manifests }) => manifests.length)).toEqual([2, 2])
  })
})
