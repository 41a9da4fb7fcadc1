import { createHash, randomBytes } from "node:crypto"
import { closeSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"

const MIB = 1024 * 1024
const OVMS = "application/vnd.ovms.manifest.v1+json"
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"
const INDEX = "application/vnd.oci.image.index.v1+json"
const DISK = "application/vnd.oci.image.layer.v1.tar"

interface Blob {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/**
 * Makes an OCI layout at `root` with one OVMS artifact, called v1, of `count` random layers of `mib` MiB each. The
 * machine's disk is the first of them; the others are layers that nobody refers to, which are moved all the same.
 */
export function makeArtifact(root: string, count: number, mib: number): void {
  mkdirSync(join(root, "blobs/sha256"), { recursive: true })
  const layers = Array.from({ length: count }, (_, index) => ({
    ...random(root, mib),
    annotations: { "ovms.format": "raw", "org.opencontainers.image.title": `layer-${index}.raw` },
  }))
  const [disk] = layers
  if (!disk) throw new Error("an artifact needs a layer")
  const config = json(root, OVMS, {
    schemaVersion: 1,
    mediaType: OVMS,
    name: "bench/machine",
    version: "1",
    os: "linux",
    architecture: "amd64",
    diskLayers: [{ ref: disk.digest, format: "raw", size: disk.size }],
  })
  const manifest = json(root, MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: OVMS,
    config,
    layers,
  })
  const annotations = { "org.opencontainers.image.ref.name": "v1" }
  writeFileSync(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(root, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [{ ...manifest, annotations }] }),
  )
}

function random(root: string, mib: number): Blob {
  const path = join(root, "new")
  const fd = openSync(path, "w")
  const hash = createHash("sha256")
  for (let at = 0; at < mib; at++) {
    const bytes = randomBytes(MIB)
    hash.update(bytes)
    writeSync(fd, bytes)
  }
  closeSync(fd)
  return named(root, path, { mediaType: DISK, digest: `sha256:${hash.digest("hex")}`, size: mib * MIB })
}

function json(root: string, mediaType: string, value: object): Blob {
  const text = JSON.stringify(value)
  const path = join(root, "new")
  writeFileSync(path, text)
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`
  return named(root, path, { mediaType, digest, size: Buffer.byteLength(text) })
}

function named(root: string, path: string, blob: Blob): Blob {
  renameSync(path, join(root, "blobs", blob.digest.replace(":", "/")))
  return blob
}
