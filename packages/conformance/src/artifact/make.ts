import { type Descriptor, digestOf, type Repository, utf8 } from "../registry/content.ts"

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json"
export const OVMS_MANIFEST = "application/vnd.ovms.manifest.v1+json"
const TITLE = "org.opencontainers.image.title"

/** A machine as a writer makes it: its two manifests, and its blobs. */
export interface Artifact {
  readonly oci: Buffer
  readonly digest: string
  readonly manifest: Buffer
  readonly kernel: Buffer
  /** The OVMS manifest among them. */
  readonly blobs: readonly Buffer[]
  /** Of a snapshot: what it is a snapshot of, which is another artifact. */
  readonly base?: Artifact
}

/** The descriptor of `bytes`, as of a file of that name. */
export function described(mediaType: string, bytes: Buffer, title: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length, annotations: { [TITLE]: title } }
}

/** A bzImage by its header, and nothing that could run (OVMS-SRC-010, OVMS-SRC-023). */
export function kernelOf(fill: number, size = 4096): Buffer {
  const bytes = Buffer.alloc(size, fill)
  bytes.writeUInt8(1, 0x1f1)
  bytes.writeUInt32LE((size - 1024) / 16, 0x1f4)
  bytes.writeUInt16LE(0xaa55, 0x1fe)
  bytes.write("HdrS", 0x202)
  bytes.writeUInt16LE(0x020c, 0x206)
  bytes.writeUInt16LE(0, 0x20e)
  return bytes
}

/** An Image of Linux for arm64 by its first 64 bytes (OVMS-IDX-002). */
export function arm64Kernel(): Buffer {
  const bytes = Buffer.alloc(4096)
  bytes.writeUInt32LE(0xd503201f, 0)
  bytes.writeBigUInt64LE(4096n, 16)
  bytes.write("ARM\x64", 56, "latin1")
  return bytes
}

export interface Changes {
  readonly kernel?: Buffer
  /** Of the OVMS manifest. */
  readonly document?: object
  readonly diskless?: boolean
  readonly kernelless?: boolean
  /** The bytes of its disk, and what they are said to be; raw unless told. */
  readonly disk?: Buffer
  readonly format?: string
  /** Of the OCI manifest and of its kernel's descriptor. */
  readonly oci?: object
  readonly layer?: object
  /** `application/vnd.ORG.ovms.` in the place of `application/vnd.ovms.`. */
  readonly org?: string
  /** The form that `oras push` makes: an empty config, and the OVMS manifest as a layer. */
  readonly plain?: boolean
}

/** A machine with a kernel and a raw disk of 1 KiB, and what is to be otherwise. */
export function artifactOf(changes: Changes = {}): Artifact {
  const kernel = changes.kernel ?? kernelOf(0)
  const { disk = Buffer.alloc(1024, 7), format = "raw" } = changes
  const typed = (name: string) =>
    `application/vnd.${changes.org === undefined ? "" : `${changes.org}.`}ovms.${name}`
  const document = {
    schemaVersion: 1,
    mediaType: OVMS_MANIFEST,
    name: "suite",
    os: "linux",
    architecture: "amd64",
    ...(!changes.kernelless && { kernel: { ref: digestOf(kernel), args: "console=ttyS0" } }),
    ...(!changes.diskless && { diskLayers: [{ ref: digestOf(disk), format, size: disk.length }] }),
    ...changes.document,
  }
  const manifest = Buffer.from(JSON.stringify(document))
  const own = described(typed("manifest.v1+json"), manifest, "manifest.json")
  const empty = utf8("{}")
  const tar = described("application/vnd.oci.image.layer.v1.tar", disk, `disk0.${format}`)
  const layers = [
    { ...described(typed("kernel.v1"), kernel, "kernel.bin"), ...changes.layer },
    { ...tar, annotations: { ...tar.annotations, "ovms.format": format } },
  ].slice(0, changes.diskless ? 1 : 2)
  const plain = { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf(empty), size: 2 }
  const oci = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: typed("manifest.v1+json"),
    config: changes.plain ? plain : own,
    layers: changes.plain ? [own, ...layers] : layers,
    ...changes.oci,
  }
  const bytes = Buffer.from(JSON.stringify(oci))
  return {
    oci: bytes,
    digest: digestOf(bytes),
    manifest,
    kernel,
    blobs: [manifest, kernel, ...(changes.diskless ? [] : [disk]), ...(changes.plain ? [empty] : [])],
  }
}

/** The same machine with more blobs, by their media types: what refers to them is the document's. */
export function withLayers(
  made: Artifact,
  more: readonly (readonly [mediaType: string, bytes: Buffer])[],
): Artifact {
  const oci = JSON.parse(made.oci.toString())
  for (const [at, [mediaType, bytes]] of more.entries())
    oci.layers.push(described(mediaType, bytes, `more${at}.bin`))
  const document = Buffer.from(JSON.stringify(oci))
  const blobs = [...made.blobs, ...more.map(([, bytes]) => bytes)]
  return { ...made, oci: document, digest: digestOf(document), blobs }
}

/** Puts all of it into a repository, its base first. */
export function store<A extends Pick<Artifact, "oci" | "blobs" | "base">>(
  repository: Repository,
  artifact: A,
  tag?: string,
): A {
  if (artifact.base) store(repository, artifact.base)
  for (const bytes of artifact.blobs) repository.blob(bytes)
  repository.put(artifact.oci, OCI_MANIFEST, tag)
  return artifact
}
