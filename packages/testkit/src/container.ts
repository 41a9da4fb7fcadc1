import { createHash } from "node:crypto"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"

/** An entry of a layer. Names have a byte in each character. */
export interface LayerEntry {
  readonly name: string
  /** `type` of the header: one character; a file, or a folder if the name ends in a slash. */
  readonly type?: string
  readonly content?: string | Uint8Array
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** Seconds, perhaps with a part after the point. */
  readonly time?: string
  readonly device?: readonly [number, number]
  /** Records of a pax header before it. */
  readonly pax?: Readonly<Record<string, string>>
  /** In place of the length of the content. */
  readonly size?: number
}

/** A layer as a tar archive. */
export function layerOf(entries: readonly LayerEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(membersOf), Buffer.alloc(1024)])
}

function membersOf(entry: LayerEntry): Buffer[] {
  const { name, uid = 0, gid = 0, time = "0", link = "" } = entry
  const records = Object.entries({
    ...(name.length > 100 && { path: name }),
    ...(link.length > 100 && { linkpath: link }),
    ...((uid >= 8 ** 7 || gid >= 8 ** 7) && { uid: `${uid}`, gid: `${gid}` }),
    ...(time.includes(".") && { mtime: time }),
    ...entry.pax,
  })
  const pax = Buffer.concat(records.map(([key, value]) => record(key, value)))
  const content = Buffer.from(entry.content ?? "")
  return [
    ...(records.length > 0 ? [header({ name: "pax", type: "x", size: pax.length }), padded(pax)] : []),
    header({ size: content.length, ...entry }),
    padded(content),
  ]
}

function header(entry: LayerEntry & { readonly size: number }): Buffer {
  const { name, type = name.endsWith("/") ? "5" : "0", mode = type === "5" ? 0o755 : 0o644 } = entry
  const block = Buffer.alloc(512)
  const octal = (value: number, at: number, length: number) =>
    block.write(
      `${Math.max(0, value)
        .toString(8)
        .padStart(length - 1, "0")
        .slice(1 - length)}\0`,
      at,
      "latin1",
    )
  block.write(name, 0, 100, "latin1")
  octal(mode, 100, 8)
  octal(entry.uid ?? 0, 108, 8)
  octal(entry.gid ?? 0, 116, 8)
  octal(entry.size, 124, 12)
  octal(Math.floor(Number(entry.time ?? 0)), 136, 12)
  block.write("        ", 148)
  block.write(type, 156)
  block.write(entry.link ?? "", 157, 100, "latin1")
  block.write("ustar\x0000", 257)
  octal(entry.device?.[0] ?? 0, 329, 8)
  octal(entry.device?.[1] ?? 0, 337, 8)
  const sum = block.reduce((all, byte) => all + byte, 0)
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}

function record(key: string, value: string): Buffer {
  const rest = key.length + value.length + 3
  let length = rest
  while (length !== rest + `${length}`.length) length = rest + `${length}`.length
  return Buffer.from(`${length} ${key}=${value}\n`, "latin1")
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc(-content.length & 511)])
}

export function digestOf(bytes: Uint8Array): `sha256:${string}` {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}

/** A layer of an image as it lies there, and as what. */
export interface PackedLayer {
  readonly tar: Buffer
  readonly packed?: Uint8Array
  readonly mediaType?: string
}

/** What the config of an image of these layers is; `config` is its `config`. */
export function configOf(layers: readonly PackedLayer[], config: object, more: object = {}): Buffer {
  const rootfs = { type: "layers", diff_ids: layers.map(({ tar }) => digestOf(tar)) }
  return Buffer.from(JSON.stringify({ os: "linux", architecture: "amd64", rootfs, config, ...more }))
}

const OCI = "application/vnd.oci.image."

/**
 * Writes an OCI layout with one container image into `folder`, as an index for several platforms if so told. Returns
 * the digest of the image's manifest.
 */
export async function writeContainer(
  folder: string,
  layers: readonly PackedLayer[],
  config: object,
  { indexed = false }: { readonly indexed?: boolean } = {},
): Promise<string> {
  const blobs = join(folder, "blobs/sha256")
  await mkdir(blobs, { recursive: true })
  const put = async (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes)
    await writeFile(join(blobs, digest.slice(7)), bytes)
    return { mediaType, digest, size: bytes.length }
  }
  const json = (value: object) => Buffer.from(JSON.stringify(value))
  const imageOf = async (bytes: Buffer) =>
    put(
      `${OCI}manifest.v1+json`,
      json({
        schemaVersion: 2,
        mediaType: `${OCI}manifest.v1+json`,
        config: await put(`${OCI}config.v1+json`, bytes),
        layers: await Promise.all(
          layers.map(({ tar, packed = tar, mediaType = `${OCI}layer.v1.tar` }) => put(mediaType, packed)),
        ),
      }),
    )
  const image = await imageOf(configOf(layers, config))
  const other = await imageOf(configOf(layers, config, { architecture: "arm64" }))
  const platform = (architecture: string) => ({ platform: { os: "linux", architecture } })
  const manifests = [
    { ...other, ...platform("arm64") },
    { ...image, ...platform("amd64") },
  ]
  const index = { schemaVersion: 2, mediaType: `${OCI}index.v1+json`, manifests }
  const root = indexed ? await put(`${OCI}index.v1+json`, json(index)) : image
  await writeFile(join(folder, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }))
  await writeFile(join(folder, "index.json"), json({ schemaVersion: 2, manifests: [root] }))
  return image.digest
}

/** An archive as `docker save` wrote it before it wrote OCI layouts. */
export function dockerArchive(layers: readonly PackedLayer[], config: object): Buffer {
  const bytes = configOf(layers, config)
  const names = layers.map((_, index) => `layer-${index}/layer.tar`)
  const manifest = [{ Config: "config.json", RepoTags: ["web:1"], Layers: names }]
  return layerOf([
    ...layers.map(({ tar, packed = tar }, index) => ({ name: names[index] ?? "", content: packed })),
    { name: "config.json", content: bytes },
    { name: "manifest.json", content: JSON.stringify(manifest) },
  ])
}

/** An image in an archive of several. */
export interface ArchivedImage {
  readonly layers: readonly PackedLayer[]
  readonly config: object
  readonly names: readonly string[]
}

/**
 * An archive as `docker save` of Docker 1.10 to 24 wrote it: a folder for each layer, called by what identified it in
 * still older versions, and a link in place of content that another folder has.
 */
export function oldDockerArchive(images: readonly ArchivedImage[]): Buffer {
  const entries: LayerEntry[] = []
  const there = new Map<string, string>()
  const ids = new Set<string>()
  const manifest = images.map(({ layers, config, names: RepoTags }) => {
    const bytes = configOf(layers, config)
    const Config = `${digestOf(bytes).slice(7)}.json`
    let parent = ""
    const Layers = layers.map(({ tar }, index) => {
      const diffId = digestOf(tar)
      const id = digestOf(
        Buffer.from(`${parent} ${diffId} ${index === layers.length - 1 ? Config : ""}`),
      ).slice(7)
      const name = `${id}/layer.tar`
      parent = id
      if (ids.has(id)) return name
      ids.add(id)
      const shared = there.get(diffId)
      if (!shared) there.set(diffId, name)
      const json = { id, created: "1970-01-01T00:00:00Z", os: "linux" }
      entries.push(
        { name: `${id}/` },
        { name: `${id}/VERSION`, content: "1.0" },
        { name: `${id}/json`, content: JSON.stringify(json) },
        shared ? { name, type: "2", link: `../${shared}`, mode: 0o777 } : { name, content: tar },
      )
      return name
    })
    entries.push({ name: Config, content: bytes })
    return { Config, RepoTags, Layers }
  })
  return layerOf([
    ...entries,
    { name: "manifest.json", content: JSON.stringify(manifest) },
    { name: "repositories", content: "{}" },
  ])
}
