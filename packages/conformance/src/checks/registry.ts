import { isDeepStrictEqual } from "node:util"
import { type Artifact, artifactOf, OCI_MANIFEST } from "../artifact/make.ts"
import { snapshotOf } from "../artifact/snapshot.ts"
import { type Check, type CheckCall, must, type Profile, skip } from "../check.ts"
import { digestOf, hex, parsed } from "../registry/content.ts"
import { fallbackTag } from "../signing/fallback.ts"
import { type Remote, withDigest } from "../subject/remote.ts"

const INDEX = "application/vnd.oci.image.index.v1+json"
const MIB = 1 << 20

interface RegistryPlan {
  readonly name: string
  readonly profile?: Profile
  run(remote: Remote, call: CheckCall): Promise<void>
}

/** Pushes all of it, base first. */
async function pushed(remote: Remote, artifact: Artifact, name = artifact.digest) {
  if (artifact.base) await pushed(remote, artifact.base)
  for (const bytes of artifact.blobs) await remote.blob(bytes)
  return await remote.manifest(name, OCI_MANIFEST, artifact.oci)
}

/** Bytes that no compression makes small, the same each time. */
function noise(size: number): Buffer {
  const block = hex(digestOf(Buffer.alloc(0)).slice(7))
  const bytes = Buffer.alloc(size, block)
  for (let at = 0; at + 4 <= size; at += 4096) bytes.writeUInt32LE(at, at)
  return bytes
}

/** A list of referrers, or undefined where there is no such API. */
async function referrers(remote: Remote, digest: string, query = "") {
  const { status, headers, bytes } = await remote.ask("GET", `referrers/${digest}${query}`)
  if (status !== 200 || !headers.get("content-type")?.startsWith(INDEX)) return undefined
  return { list: parsed(bytes).manifests ?? [], headers }
}

const PLANS: readonly RegistryPlan[] = [
  {
    name: "artifact",
    async run(remote) {
      const artifact = artifactOf()
      await pushed(remote, artifact, "1")
      const head = await remote.good([200], "HEAD", "manifests/1", { headers: { accept: OCI_MANIFEST } })
      const said = [head.headers.get("docker-content-digest"), head.headers.get("content-length")]
      for (const [at, right] of [artifact.digest, String(artifact.oci.length)].entries())
        must(
          [right, null].includes(said[at] ?? null),
          `HEAD says ${said[at]} of the manifest, which is ${right}`,
        )
      for (const name of ["1", artifact.digest]) {
        const { bytes, headers } = await remote.good([200], "GET", `manifests/${name}`, {
          headers: { accept: OCI_MANIFEST },
        })
        must(bytes.equals(artifact.oci), "the manifest comes back as other bytes")
        must(headers.get("content-type") === OCI_MANIFEST, `its type is ${headers.get("content-type")}`)
      }
      for (const blob of artifact.blobs) {
        const { bytes } = await remote.good([200], "GET", `blobs/${digestOf(blob)}`)
        must(bytes.equals(blob), "a blob comes back as other bytes")
      }
    },
  },
  {
    name: "plain-form",
    run: async (remote) => void (await pushed(remote, artifactOf({ plain: true }), "1")),
  },
  { name: "aliases", run: async (remote) => void (await pushed(remote, artifactOf({ org: "acme" }), "1")) },
  {
    name: "subject",
    profile: "snapshot",
    run: async (remote) => void (await pushed(remote, snapshotOf(artifactOf()), "1")),
  },
  {
    name: "referrers",
    profile: "snapshot",
    async run(remote) {
      const [other, snapshot] = ["other", "qemu"].map((name) =>
        snapshotOf(artifactOf(), { vmm: { name }, oci: { annotations: { "ovms.snapshot.vmm": name } } }),
      ) as [Artifact, Artifact]
      await pushed(remote, other)
      const { headers } = await pushed(remote, snapshot)
      const subject = snapshot.base?.digest ?? ""
      const found = await referrers(remote, subject)
      const said = headers.get("oci-subject")
      if (!found)
        skip(
          `there is no referrers API${said ? ", although it sends OCI-Subject" : ""}: the fallback tag it is`,
        )
      const one = found.list.find(({ digest }) => digest === snapshot.digest)
      must(
        one && found.list.length === 2 && found.list.some(({ digest }) => digest === other.digest),
        `of two snapshots the list of referrers has ${found.list.length}`,
      )
      must(one.size === snapshot.oci.length, `the list says that the snapshot has ${one.size} bytes`)
      must(
        one.artifactType === "application/vnd.ovms.snapshot.v1+json",
        `its artifactType is ${one.artifactType}`,
      )
      must(said === null || said === subject, `OCI-Subject is ${said}`)
      const nothing = await referrers(remote, snapshot.digest)
      must(nothing?.list.length === 0, "the list of what nothing refers to is no empty list")
      for (const [type, number] of [
        ["application/vnd.ovms.snapshot.v1+json", 2],
        ["application/vnd.example", 0],
      ] as const) {
        const { list, headers } =
          (await referrers(remote, subject, `?artifactType=${encodeURIComponent(type)}`)) ?? nothing
        const filtered = headers.get("oci-filters-applied")?.includes("artifactType")
        must(
          list.length === number || (!filtered && list.length === 2),
          `of the type ${type} it lists ${list.length} snapshots`,
        )
      }
      if (!isDeepStrictEqual(one.annotations, { "ovms.snapshot.vmm": "qemu" }))
        skip("the list has no annotations of the snapshots: those that cannot fit are fetched as well")
    },
  },
  {
    name: "fallback-tag",
    profile: "snapshot",
    async run(remote) {
      const snapshot = snapshotOf(artifactOf())
      await pushed(remote, snapshot)
      const entry = { mediaType: OCI_MANIFEST, digest: snapshot.digest, size: snapshot.oci.length }
      const list = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [entry] }))
      const tag = fallbackTag(snapshot.base?.digest ?? "")
      await remote.manifest(tag, INDEX, list)
      const { bytes } = await remote.good([200], "GET", `manifests/${tag}`, { headers: { accept: INDEX } })
      must(bytes.equals(list), "the list comes back as other bytes")
    },
  },
  {
    name: "large-blob",
    async run(remote) {
      const bytes = noise(48 * MIB)
      const digest = await remote.blob(bytes)
      const { headers } = await remote.good([200], "HEAD", `blobs/${digest}`)
      must(
        Number(headers.get("content-length")) === bytes.length,
        `its length is ${headers.get("content-length")}`,
      )
      must(
        (await remote.good([200], "GET", `blobs/${digest}`)).bytes.equals(bytes),
        "it comes back as other bytes",
      )
    },
  },
  {
    name: "upload-in-parts",
    async run(remote) {
      const bytes = noise(12 * MIB)
      let place = await remote.begin()
      for (let at = 0; at < bytes.length; at += 6 * MIB) {
        const part = bytes.subarray(at, at + 6 * MIB)
        const range = {
          "content-range": `${at}-${at + part.length - 1}`,
          "content-type": "application/octet-stream",
        }
        const told = await remote.ask("PATCH", place, { headers: range, body: part })
        if (told.status !== 202)
          skip(`a part of 6 MiB is answered with ${told.status}: one request for a whole blob it is`)
        place = remote.next(told.headers)
      }
      await remote.good([201], "PUT", withDigest(place, digestOf(bytes)))
      await remote.good([200], "HEAD", `blobs/${digestOf(bytes)}`)
    },
  },
  {
    name: "ranges",
    async run(remote) {
      const bytes = noise(MIB)
      const place = `blobs/${await remote.blob(bytes)}`
      const told = await remote.good([200, 206], "GET", place, { headers: { range: "bytes=1000-1999" } })
      if (told.status === 200)
        skip("a range is answered with all of the blob: what was there is fetched again")
      must(told.bytes.equals(bytes.subarray(1000, 2000)), "another range is answered than was asked for")
      must(/^bytes 1000-1999\//.test(told.headers.get("content-range") ?? ""), "Content-Range is another one")
      const rest = await remote.ask("GET", place, { headers: { range: `bytes=${MIB - 1000}-` } })
      if (rest.status !== 206)
        skip(`a range without an end is answered with ${rest.status}: what was there is fetched again`)
      must(
        rest.bytes.equals(bytes.subarray(MIB - 1000)),
        "the last 1000 bytes are other ones than were asked for",
      )
    },
  },
  {
    name: "large-manifest",
    async run(remote) {
      const artifact = artifactOf({ oci: { annotations: { padding: "x".repeat(3 * MIB) } } })
      for (const bytes of artifact.blobs) await remote.blob(bytes)
      const headers = { "content-type": OCI_MANIFEST }
      const told = await remote.ask("PUT", `manifests/${artifact.digest}`, { headers, body: artifact.oci })
      if (told.status === 413) skip("a manifest of 3 MiB is too large for it")
      must(told.status === 201, `a manifest of 3 MiB is answered with ${told.status}`)
    },
  },
  {
    name: "blobs-at-once",
    async run(remote) {
      const all = [1, 2, 3, 4].map((fill) => Buffer.alloc(MIB, fill))
      await Promise.all(all.map((bytes) => remote.blob(bytes)))
      const kept = all.map((bytes) => remote.good([200], "GET", `blobs/${digestOf(bytes)}`))
      for (const [at, { bytes }] of (await Promise.all(kept)).entries())
        must(all[at]?.equals(bytes), "of blobs that were sent at once one comes back as other bytes")
    },
  },
  {
    name: "wrong-digest",
    async run(remote) {
      const place = withDigest(await remote.begin(), digestOf(noise(10)))
      const told = await remote.ask("PUT", place, { body: noise(11) })
      must(told.status >= 400, `a blob under the digest of another one is answered with ${told.status}`)
      const artifact = artifactOf()
      await pushed(remote, artifact)
      const headers = { "content-type": OCI_MANIFEST }
      const name = `manifests/${digestOf(noise(10))}`
      const { status } = await remote.ask("PUT", name, { headers, body: artifact.oci })
      if (status < 400)
        skip(
          `a manifest under the digest of something else is answered with ${status}: who reads it finds out`,
        )
    },
  },
  {
    name: "tag-moves",
    async run(remote) {
      const [first, second] = [artifactOf(), artifactOf({ document: { name: "other" } })]
      for (const artifact of [first, second]) await pushed(remote, artifact, "latest")
      const read = async (name: string) =>
        (await remote.good([200], "GET", `manifests/${name}`, { headers: { accept: OCI_MANIFEST } })).bytes
      must(
        (await read("latest")).equals(second.oci),
        "a tag that was given again leads to what it did before",
      )
      must((await read(first.digest)).equals(first.oci), "what the tag stood for is gone")
    },
  },
  {
    name: "unknown",
    async run(remote) {
      await pushed(remote, artifactOf(), "1")
      for (const place of [
        "manifests/absent",
        `manifests/${digestOf(noise(1))}`,
        `blobs/${digestOf(noise(1))}`,
      ])
        await remote.good([404], "GET", place)
    },
  },
  {
    name: "tags",
    async run(remote) {
      const artifact = artifactOf()
      for (const name of ["a", "b", "c"]) await pushed(remote, artifact, name)
      const found: string[] = []
      let place: string | undefined = "tags/list?n=2"
      for (let pages = 0; place !== undefined && pages < 5; pages++) {
        const { bytes, headers }: { bytes: Buffer; headers: Headers } = await remote.good([200], "GET", place)
        found.push(...((parsed(bytes) as { tags?: string[] }).tags ?? []))
        const [, link] = /<([^>]+)>/.exec(headers.get("link") ?? "") ?? []
        place = link && new URL(link, `${remote.origin}/v2/${remote.repository}/tags/list`).href
      }
      const tags = [...new Set(found)].sort().join()
      if (tags === "a,b") skip("the list of tags has no second page: those beyond the first are not listed")
      must(tags === "a,b,c", `the tags are ${tags}`)
    },
  },
  {
    name: "mount",
    async run(remote, call) {
      const digest = await remote.blob(noise(1000))
      const other = remote.of(call)
      const told = await other.good(
        [201, 202],
        "POST",
        `blobs/uploads/?mount=${digest}&from=${remote.repository}`,
      )
      if (told.status === 202) skip("a blob of another repository is not mounted: it is sent again")
      await other.good([200], "HEAD", `blobs/${digest}`)
    },
  },
]

export const registryChecks: readonly Check<Remote>[] = PLANS.map(({ name, profile = "core", run }) => ({
  name: `registry/${name}`,
  profile,
  covers: [],
  run: (remote, call) => run(remote.of(call), call),
}))
