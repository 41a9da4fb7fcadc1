import { expect, test } from "bun:test"
import {
  chmod,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { digestOf, hexOf } from "../digest.ts"
import { OCI_MANIFEST } from "../manifest.ts"
import { bytesOf } from "../read.ts"
import { collect, describeBytes, failure, pushBytes, pushImage, text } from "../store.testing.ts"
import { NAME } from "./names.ts"
import { readLayout } from "./reader.ts"
import { openLayout } from "./store.ts"

async function inFolder(run: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "ovm-layout-"))
  try {
    await run(root)
  } finally {
    await rm(root, { recursive: true })
  }
}

const blobOf = (root: string, bytes: string) => join(root, "blobs/sha256", hexOf(digestOf(bytes)))

test("a blob is read-only and under its digest; nothing else is left", () =>
  inFolder(async (root) => {
    await using store = await openLayout(root, { create: true })
    await pushBytes(store, text("content"))
    expect(await readFile(blobOf(root, "content"), "utf8")).toBe("content")
    expect((await stat(blobOf(root, "content"))).mode & 0o777).toBe(0o444)
    expect(await readdir(join(root, "ovm/ingest"))).toEqual([])
    await store.close()
    expect(await readdir(join(root, "ovm/leases"))).toEqual([])
  }))

test("a folder that is no layout is refused", () =>
  inFolder(async (root) => {
    expect((await failure(openLayout(root), "OVM_FILE_UNREADABLE")).message).toContain(root)
    expect((await failure(readLayout(join(root, "none")), "OVM_FILE_UNREADABLE")).message).toContain("none")
    await writeFile(join(root, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}')
    expect((await failure(readLayout(root), "OVM_STORE_CORRUPT")).message).toContain("oci-layout")
  }))

test.each([
  ["not JSON", "{"],
  ["schemaVersion", "{}"],
  ["manifests", '{"schemaVersion":2,"manifests":{}}'],
  [
    "manifests[1]",
    `{"schemaVersion":2,"manifests":[${JSON.stringify(describeBytes(text("")))},{"digest":1}]}`,
  ],
  ["missing", undefined],
])("a corrupt index.json is named: %s", (reason, content) =>
  inFolder(async (root) => {
    await using store = await openLayout(root, { create: true })
    if (content === undefined) await rm(join(root, "index.json"))
    else await writeFile(join(root, "index.json"), content)
    const error = await failure(store.resolve("v1"), "OVM_STORE_CORRUPT")
    expect(error.message).toContain("index.json")
    expect(error.message).toContain(reason)
    const image = await pushImage(store, "x", "{}")
    await failure(store.tag(image, "v1"), "OVM_STORE_CORRUPT")
    await failure(Array.fromAsync(store.list()), "OVM_STORE_CORRUPT")
  }),
)

test("entries, annotations and fields of other tools are kept", () =>
  inFolder(async (root) => {
    await using store = await openLayout(root, { create: true })
    const image = await pushImage(store, "x", "{}")
    const foreign = [
      { ...describeBytes(text("a")), annotations: { other: "1", [NAME]: "theirs" } },
      { mediaType: OCI_MANIFEST, digest: `sha512:${"0".repeat(128)}`, size: 3, strange: [1] },
      { ...describeBytes(text("b")), annotations: null },
    ]
    await writeFile(
      join(root, "index.json"),
      JSON.stringify({ schemaVersion: 2, extra: true, manifests: foreign }),
    )
    await store.tag(image, "ours")
    const index = JSON.parse(await readFile(join(root, "index.json"), "utf8"))
    expect(index).toMatchObject({ extra: true })
    expect(index.manifests.slice(0, 3)).toEqual(foreign)
    expect((await Array.fromAsync(store.list())).map((entry) => entry.reference)).toEqual(["theirs", "ours"])
    expect(await store.resolve("theirs")).toEqual({
      ...describeBytes(text("a")),
      annotations: { other: "1" },
    })
    await store.untag("theirs")
    await failure(store.resolve("theirs"), "OVM_NAME_UNKNOWN")
    await failure(store.untag("theirs"), "OVM_NAME_UNKNOWN")
    expect((await store.resolve("ours")).digest).toBe(image.digest)
  }))

test("a layout of another tool is read without being written to", () =>
  inFolder(async (root) => {
    await writeFile(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
    await writeFile(join(root, "index.json"), '{"schemaVersion":2,"manifests":null}')
    const store = await readLayout(root)
    expect(await Array.fromAsync(store.list())).toEqual([])
    const target = describeBytes(text("blob"))
    await failure(store.fetch(target), "OVM_CONTENT_MISSING")
    await mkdir(join(root, "blobs/sha256"), { recursive: true })
    await writeFile(blobOf(root, "blob"), "blob")
    expect(await store.path(target)).toBe(blobOf(root, "blob"))
    expect(await collect(store.fetch(target))).toBe("blob")
    expect((await readdir(root)).sort()).toEqual(["blobs", "index.json", "oci-layout"])
  }))

test("names are read again as soon as their file is another one, or was written to in place", () =>
  inFolder(async (root) => {
    const index = join(root, "index.json")
    const named = (name: string) =>
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          { mediaType: OCI_MANIFEST, digest: digestOf("x"), size: 1, annotations: { [NAME]: name } },
        ],
      })
    await writeFile(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
    await writeFile(index, named("a"))
    const store = await readLayout(root)
    const names = async () => (await Array.fromAsync(store.list())).map(({ reference }) => reference)
    // Long enough ago to be remembered.
    await Bun.sleep(150)
    expect(await names()).toEqual(["a"])
    await writeFile(index, named("b"))
    expect(await names()).toEqual(["b"])
    await Bun.sleep(150)
    expect(await names()).toEqual(["b"])
    await writeFile(join(root, "new"), named("c"))
    await rename(join(root, "new"), index)
    expect(await names()).toEqual(["c"])
  }))

test("a blob that changed on disk is found out, and a push mends it", () =>
  inFolder(async (root) => {
    await using store = await openLayout(root, { create: true })
    const target = await pushBytes(store, text("genuine"))
    const file = blobOf(root, "genuine")
    expect(await store.path(target)).toBe(file)
    await chmod(file, 0o644)
    await writeFile(file, "forged!")
    const error = await failure(store.path(target), "OVM_DIGEST_MISMATCH")
    expect(error.message).toContain(target.digest)
    expect(error.message).toContain(file)
    await failure(collect(store.fetch(target)), "OVM_DIGEST_MISMATCH")
    await writeFile(file, "cut")
    expect((await failure(store.path(target), "OVM_SIZE_MISMATCH")).message).toContain(file)
    expect(await store.exists(target)).toBe(false)
    await store.push(target, bytesOf(text("genuine")))
    expect(await store.path(target)).toBe(file)
    expect(await readFile(file, "utf8")).toBe("genuine")
  }))

test("a blob without a stamp, or with one of an earlier boot, is verified on first use", () =>
  inFolder(async (root) => {
    await using store = await openLayout(root, { create: true, durable: false })
    const target = await pushBytes(store, text("pulled"))
    const stamp = join(root, "ovm/verified", hexOf(target.digest))
    const mine = await readFile(stamp, "utf8")
    // As after a crash that lost the data but not the names.
    await writeFile(stamp, mine.replace(/\S+\n$/, "00000000-0000-0000-0000-000000000000\n"))
    expect(await store.path(target)).toBe(blobOf(root, "pulled"))
    expect(await readFile(stamp, "utf8")).toBe(mine)

    const foreign = describeBytes(text("copied in"))
    await writeFile(join(root, "wrong"), "copied IN")
    await copyFile(join(root, "wrong"), blobOf(root, "copied in"))
    await failure(store.path(foreign), "OVM_DIGEST_MISMATCH")
    await rm(blobOf(root, "copied in"))
    await writeFile(join(root, "right"), "copied in")
    await link(join(root, "right"), blobOf(root, "copied in"))
    expect(await store.path(foreign)).toBe(blobOf(root, "copied in"))
  }))

test("a durable blob is trusted after a boot, one that was only pulled is not", () =>
  inFolder(async (root) => {
    const stampOf = async (durable: boolean, content: string) => {
      await using store = await openLayout(root, { create: true, durable })
      const target = await pushBytes(store, text(content))
      return readFile(join(root, "ovm/verified", hexOf(target.digest)), "utf8")
    }
    expect(await stampOf(true, "packed")).toEndWith(" synced\n")
    expect(await stampOf(false, "pulled")).toEndWith(
      ` ${(await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim()}\n`,
    )
    // What was pulled, and is packed by now.
    expect(await stampOf(true, "pulled")).toEndWith(" synced\n")
  }))

test("what comes is taken in by one call, once, and nothing of it stays where it breaks off", () =>
  inFolder(async (root) => {
    await using store = await openLayout(join(root, "store"), { create: true })
    const pieces = async function* (breaksOff: boolean) {
      for (const piece of ["disk ", "content"]) yield text(piece)
      if (breaksOff) throw new Error("no more")
      yield new Uint8Array(1 << 20)
    }
    await expect(store.ingest(pieces(true), "application/x-disk")).rejects.toThrow("no more")
    expect(await readdir(join(root, "store/blobs/sha256"))).toEqual([])
    const whole = Buffer.concat([Buffer.from("disk content"), Buffer.alloc(1 << 20)])
    for (let time = 0; time < 2; time++)
      expect(await store.ingest(pieces(false), "application/x-disk")).toEqual(
        describeBytes(whole, "application/x-disk"),
      )
    expect(await readdir(join(root, "store/ovm/ingest"))).toEqual([])
  }))

test("a file is taken in by one call, and later writes to it do no harm", () =>
  inFolder(async (root) => {
    await using store = await openLayout(join(root, "store"), { create: true })
    const source = join(root, "disk.raw")
    await writeFile(source, "disk content")
    const target = await store.ingestFile(source, "application/x-disk")
    expect(target).toEqual(describeBytes(text("disk content"), "application/x-disk"))
    await writeFile(source, "DISK CONTENT")
    expect(await collect(store.fetch(target))).toBe("disk content")
    await failure(store.pushFile(describeBytes(text("disk c0ntent")), source), "OVM_DIGEST_MISMATCH")
    await failure(store.pushFile(describeBytes(text("disk")), source), "OVM_SIZE_MISMATCH")
    const error = await failure(store.ingestFile(join(root, "nosuch"), "x/y"), "OVM_FILE_UNREADABLE")
    expect(error.message).toContain("nosuch")
    await failure(store.ingestFile(root, "x/y"), "OVM_FILE_UNREADABLE")
    expect(await readdir(join(root, "store/ovm/ingest"))).toEqual([])
  }))

test("names by digest: of a manifest, not of a blob", () =>
  inFolder(async (root) => {
    await using store = await openLayout(root, { create: true })
    const image = await pushImage(store, "x", "{}", "layer")
    expect(await store.resolve(`localhost/x:v1@${image.digest}`)).toEqual(image)
    await failure(store.resolve(digestOf("layer")), "OVM_NAME_UNKNOWN")
    await failure(store.resolve(digestOf("{}")), "OVM_NAME_UNKNOWN")
  }))
