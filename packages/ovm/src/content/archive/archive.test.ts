import { describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { createReadStream } from "node:fs"
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import type { ErrorCode } from "../../errors.ts"
import { digestOf, hexOf } from "../digest.ts"
import { collectGarbage } from "../layout/gc.ts"
import { openLayout } from "../layout/store.ts"
import { OCI_INDEX } from "../manifest.ts"
import { MemoryStore } from "../memory.ts"
import { bytesOf } from "../read.ts"
import { collect, describeBytes, failure, pushImage, pushReferrer, text } from "../store.testing.ts"
import { StreamInput } from "./input.ts"
import { loadArchive } from "./load.ts"
import { isArchive, openArchive } from "./reader.ts"
import { padding, readTar, TAR_END, tarHeader } from "./tar.ts"
import { writeArchive } from "./write.ts"

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-archive-"))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const bytes = async (...args: Parameters<typeof writeArchive>) =>
  Buffer.concat(await Array.fromAsync(writeArchive(...args)))

function entry(name: string, content: string | Uint8Array, change?: (header: Buffer) => void): Uint8Array {
  const body = typeof content === "string" ? text(content) : content
  const header = Buffer.from(tarHeader(name, body.byteLength))
  change?.(header)
  header.write("        ", 148)
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  )
  return Buffer.concat([header, body, new Uint8Array(padding(body.byteLength))])
}

const type =
  (letter: string, link = "") =>
  (header: Buffer) => {
    header.write(letter, 156)
    header.write(link, 157)
  }
const MARKER = entry("oci-layout", '{"imageLayoutVersion":"1.0.0"}')
const index = (...manifests: object[]) =>
  entry("index.json", JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }))
const blob = (content: string) => entry(`blobs/sha256/${hexOf(digestOf(content))}`, content)
const archive = (...parts: Uint8Array[]) => Buffer.concat([...parts, TAR_END])

async function twoImages(): Promise<MemoryStore> {
  const store = new MemoryStore()
  await store.tag(await pushImage(store, "one", "{}", "shared", "first"), "r.example/a:1")
  await store.tag(await pushImage(store, "two", "{}", "shared", "x".repeat(1_000_000)), "r.example/a:2")
  return store
}
const namedIn = async (store: MemoryStore) =>
  (await Array.fromAsync(store.list())).map(({ reference, target }) => ({ name: reference, target }))

test("what was written can be read in place and loaded, and is the same however it came about", async () => {
  const source = await twoImages()
  const written = await bytes(source, await namedIn(source))
  const other = new MemoryStore()
  await loadArchive(other, bytesOf(written), "it")
  const reversed = (await namedIn(source)).reverse()
  expect(await bytes(other, reversed)).toEqual(written)

  await inFolder(async (folder) => {
    const path = join(folder, "a.tar")
    await writeFile(path, written)
    const reader = await openArchive(path)
    expect((await Array.fromAsync(reader.list())).map(({ reference }) => reference)).toEqual([
      "r.example/a:1",
      "r.example/a:2",
    ])
    expect(await collect(reader.fetch(describeBytes(text("first"))))).toBe("first")
    await using store = await openLayout(join(folder, "store"), { create: true })
    const loaded = await loadArchive(store, createReadStream(path, { highWaterMark: 1000 }), path)
    expect(loaded.map(({ name }) => name)).toEqual(["r.example/a:1", "r.example/a:2"])
    expect(loaded[1]?.target.digest).toBe((await source.resolve("r.example/a:2")).digest)
    const listed = spawnSync("tar", ["-tvf", path, "--full-time"], { encoding: "utf8" })
    expect(listed.status).toBe(0)
    expect(listed.stdout.split("\n").filter((line) => line && !/ 1970-01-01 00:00:00 /.test(line))).toEqual(
      [],
    )
  })
})

test("GNU tar's archives, pax too, blobs before the index, with ./ and files of others", async () => {
  await inFolder(async (folder) => {
    const source = await twoImages()
    const at = join(folder, "unpacked")
    await mkdir(at)
    await writeFile(join(folder, "a.tar"), await bytes(source, await namedIn(source)))
    expect(spawnSync("tar", ["-xf", join(folder, "a.tar"), "-C", at]).status).toBe(0)
    await writeFile(join(at, `${"long-".repeat(30)}name`), "of another tool")
    for (const format of ["gnu", "pax", "ustar", "posix"]) {
      const path = join(folder, `${format}.tar`)
      // The long name does not fit into ustar.
      const files = format === "ustar" ? ["./blobs", "./index.json", "./oci-layout"] : ["."]
      expect(spawnSync("tar", [`--format=${format}`, "-cf", path, ...files], { cwd: at }).status).toBe(0)
      expect(await isArchive(path)).toBe(true)
      const store = new MemoryStore()
      expect(await loadArchive(store, createReadStream(path), path)).toHaveLength(2)
      expect(await collect((await openArchive(path)).fetch(describeBytes(text("first"))))).toBe("first")
    }
  })
})

test("referrers are taken along when asked for, and listed without a name", async () => {
  const source = new MemoryStore()
  const image = await pushImage(source, "signed", "{}", "layer")
  const signature = await pushReferrer(source, image, "application/x.signature")
  const plain = new MemoryStore()
  await loadArchive(plain, bytesOf(await bytes(source, [{ target: image, name: "a" }])), "it")
  expect(await plain.exists(signature)).toBe(false)
  const whole = new MemoryStore()
  const written = await bytes(source, [{ target: image, name: "a" }], { includeReferrers: true })
  const loaded = await loadArchive(whole, bytesOf(written), "it")
  expect(loaded).toMatchObject([
    { target: { digest: signature.digest, artifactType: "application/x.signature" } },
    { name: "a", target: { digest: image.digest } },
  ])
  expect(loaded[0]?.name).toBeUndefined()
})

test("sizes from 8 GiB up", async () => {
  for (const size of [8 ** 11 - 1, 8 ** 11, 5e12]) {
    const input = new StreamInput(bytesOf(tarHeader("blobs/big", size)))
    for await (const found of readTar(input, "it")) {
      expect(found).toMatchObject({ name: "blobs/big", size, offset: 512 })
      break
    }
  }
})

describe("refused, with the reason", () => {
  const manifest = JSON.stringify({ schemaVersion: 2, layers: [describeBytes(text("not here"))] })
  const target = describeBytes(text(manifest), "application/vnd.oci.image.manifest.v1+json")
  test.each<[string, ErrorCode, string, Uint8Array]>([
    ["nothing", "OVM_ARTIFACT_INVALID", "cut short", Buffer.alloc(0)],
    ["an empty archive", "OVM_ARTIFACT_INVALID", "oci-layout", archive()],
    ["no archive", "OVM_ARTIFACT_INVALID", "byte 0", Buffer.from("hello".repeat(1000))],
    ["another tar", "OVM_ARTIFACT_INVALID", "not the archive of an OCI", archive(entry("etc/passwd", "x"))],
    ["no index", "OVM_ARTIFACT_INVALID", "index.json", archive(MARKER)],
    [
      "another version",
      "OVM_ARTIFACT_INVALID",
      "imageLayoutVersion",
      archive(entry("oci-layout", '{"imageLayoutVersion":"2.0.0"}')),
    ],
    ["two indexes", "OVM_ARTIFACT_INVALID", "two files index.json", archive(MARKER, index(), index())],
    [
      "an index that is none",
      "OVM_ARTIFACT_INVALID",
      "index.json",
      archive(MARKER, entry("index.json", "[]")),
    ],
    [
      "a path upwards",
      "OVM_ARTIFACT_INVALID",
      "../../etc/cron.d/x",
      archive(entry("../../etc/cron.d/x", "x")),
    ],
    ["a path upwards inside", "OVM_ARTIFACT_INVALID", "a/../../x", archive(entry("a/../../x", "x"))],
    ["an absolute path", "OVM_ARTIFACT_INVALID", "/etc/passwd", archive(entry("/etc/passwd", "x"))],
    [
      "a symbolic link",
      "OVM_ARTIFACT_INVALID",
      "index.json",
      archive(MARKER, entry("index.json", "", type("2", "/etc/passwd"))),
    ],
    [
      "a hard link",
      "OVM_ARTIFACT_INVALID",
      "index.json",
      archive(MARKER, entry("index.json", "", type("1", "oci-layout"))),
    ],
    ["a device", "OVM_ARTIFACT_INVALID", "dev/sda", archive(entry("dev/sda", "", type("4")))],
    ["a pipe", "OVM_ARTIFACT_INVALID", "pipe", archive(entry("pipe", "", type("6")))],
    ["a sparse file", "OVM_ARTIFACT_INVALID", "sparse", archive(entry("sparse", "", type("S")))],
    [
      "a long pax header",
      "OVM_ARTIFACT_INVALID",
      "takes",
      archive(entry("x", "9".repeat(70_000), type("x"))),
    ],
    ["a wrong checksum", "OVM_ARTIFACT_INVALID", "byte 0", archive(MARKER.with(0, 0x58))],
    [
      "a blob of another digest",
      "OVM_DIGEST_MISMATCH",
      digestOf("right"),
      archive(entry(`blobs/sha256/${hexOf(digestOf("right"))}`, "wrong")),
    ],
    [
      "a blob without a digest",
      "OVM_ARTIFACT_INVALID",
      "blobs/sha256/layer",
      archive(entry("blobs/sha256/layer", "x")),
    ],
    ["a manifest that is not there", "OVM_CONTENT_MISSING", target.digest, archive(MARKER, index(target))],
    [
      "a layer that is not there",
      "OVM_CONTENT_MISSING",
      digestOf("not here"),
      archive(MARKER, blob(manifest), index(target)),
    ],
    [
      "a wrong size in the index",
      "OVM_SIZE_MISMATCH",
      target.digest,
      archive(MARKER, blob(manifest), index({ ...target, size: 9 })),
    ],
    [
      "an index without end",
      "OVM_TOO_LARGE",
      "index.json",
      archive(MARKER, entry("index.json", Buffer.alloc(65 << 20, 0x20))),
    ],
    ["a compressed one", "OVM_UNSUPPORTED", "gzip", gzipSync(archive(MARKER, index()))],
  ])("%s", async (_, code, culprit, content) => {
    await inFolder(async (folder) => {
      const root = join(folder, "store")
      {
        await using store = await openLayout(root, { create: true })
        const error = await failure(loadArchive(store, bytesOf(content), "it.tar"), code)
        expect(error.message).toContain(culprit)
        expect(await Array.fromAsync(store.list())).toEqual([])
      }
      await collectGarbage(root)
      expect(await readdir(join(root, "blobs/sha256"))).toEqual([])
      expect((await readdir(folder)).sort()).toEqual(["store"])
    })
  })

  test("one that is cut anywhere, from a pipe and in place", async () => {
    const source = new MemoryStore()
    const name = "r.example/a:1"
    const whole = await bytes(source, [{ target: await pushImage(source, "one", "{}", "layer"), name }])
    await inFolder(async (folder) => {
      for (let length = 0; length < whole.byteLength - 1024; length += 256) {
        const cut = whole.subarray(0, length)
        await failure(loadArchive(new MemoryStore(), bytesOf(cut), "it"), "OVM_ARTIFACT_INVALID")
        await writeFile(join(folder, "cut.tar"), cut)
        await failure(openArchive(join(folder, "cut.tar")), "OVM_ARTIFACT_INVALID")
      }
    })
  })

  test("a file that is none, a folder, and a link to an archive is read", async () => {
    await inFolder(async (folder) => {
      await failure(openArchive(join(folder, "none.tar")), "OVM_FILE_UNREADABLE")
      await failure(openArchive(folder), "OVM_FILE_UNREADABLE")
      expect(await isArchive(folder)).toBe(false)
      await writeFile(join(folder, "a.tar"), archive(MARKER, index()))
      await symlink("a.tar", join(folder, "link"))
      expect(await (await openArchive(join(folder, "link"))).roots()).toEqual([])
    })
  })
})
