import { createHash } from "node:crypto"
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
type Document = any

/** What of the entries of a container image's layers is read otherwise: their headers, of 512 bytes each. */
const HEADERS: Readonly<Record<string, (header: Buffer) => void>> = {
  "takes whiteouts for files": (header) => {
    const at = header.indexOf(".wh.")
    if (at >= 0 && at < 100) header.write("_wh_", at)
  },
  "gives all to root": (header) => header.write("0000000\0", 108),
  "forgets attributes": (header) => {
    if (header.toString("latin1", 156, 157) === "x") header.write("0", 156)
  },
}

/** What becomes of the machine: its manifest, and the OCI manifest. */
const MACHINES: Readonly<Record<string, (manifest: Document, oci: Document) => void>> = {
  "boots all by BIOS": (manifest) => {
    delete manifest.metadata
  },
  "gives one CPU": (manifest) => {
    manifest.resources.vcpus = 1
  },
  "keeps nothing of KubeVirt": (_, oci) => {
    delete oci.annotations
  },
  "leaves out the agent": (manifest) => {
    delete manifest.agent
  },
  "offers no ports": (manifest) => {
    delete manifest.network
  },
  "forgets where it is from": (_, oci) => {
    delete oci.annotations["org.opencontainers.image.base.digest"]
  },
}

/** Before the implementation does it. */
export function beforehand(fault: string, verb: string, args: readonly string[]): void {
  const [source = "", , file = ""] = args
  const edit = HEADERS[fault]
  if (verb === "import" && edit && statSync(source).isDirectory()) changeLayers(source, edit)
  if (verb === "import" && fault === "holds no folder against its sums")
    rmSync(join(dirname(source), "vm.mf"), { force: true })
  if (verb === "export" && fault === "writes over what is there") truncateSync(file)
  if (verb === "build" && fault === "takes a stage for scratch") {
    const path = join(source, "Dockerfile")
    writeFileSync(path, readFileSync(path, "utf8").replace("FROM scratch", "FROM other"))
  }
}

/** All RAM of the snapshot in a layout, in memory. */
export function ramOf(layout: string): Buffer {
  const { ram } = read(layout, read(layout, entryOf(layout).digest).config.digest)
  return Buffer.alloc(ram?.size ?? 0, 1)
}

/** After it was done. */
export function afterwards(fault: string, verb: string, args: readonly string[]): void {
  const [, layout = "", file = ""] = args
  const edit = MACHINES[fault]
  if (verb === "import" && edit) changeMachine(layout, edit)
  if (verb === "prune" && fault === "prunes machines of an index") {
    const [machine] = read(layout, entryOf(layout).digest).manifests
    rmSync(pathOf(layout, machine.digest))
  }
  if (verb === "import" && fault === "unpacks on its own host") unpacked()
  if (verb === "import" && fault === "makes other bytes each time") changeMachine(layout, otherBytes(layout))
  if (verb === "export" && fault === "exports the base alone")
    writeFileSync(file, readFileSync(file).fill(0, 5 << 16, 6 << 16))
  if (verb === "export" && fault === "reads beyond the end")
    writeFileSync(file, readFileSync(file).fill(7, 1 << 20))
}

/** For a moment, where programs keep what they need no longer. */
function unpacked(): void {
  const file = join(process.env.TMPDIR ?? ".", "of-the-image-alone")
  writeFileSync(file, "")
  Bun.sleepSync(500)
  rmSync(file)
}

function changeLayers(layout: string, edit: (header: Buffer) => void): void {
  const entry = entryOf(layout)
  const oci = read(layout, entry.digest)
  const config = read(layout, oci.config.digest)
  oci.layers = oci.layers.map((layer: Document) => {
    const bytes = readFileSync(pathOf(layout, layer.digest))
    for (let at = 0; bytes[at]; at += 512 + Math.ceil(octal(bytes, at + 124) / 512) * 512)
      summed(bytes.subarray(at, at + 512), edit)
    return { ...layer, ...write(layout, bytes) }
  })
  config.rootfs.diff_ids = oci.layers.map(({ digest }: Document) => digest)
  Object.assign(oci.config, write(layout, json(config)))
  replace(layout, { ...entry, ...write(layout, json(oci)) })
}

function octal(bytes: Buffer, at: number): number {
  return Number.parseInt(bytes.toString("latin1", at, at + 11), 8)
}

function summed(header: Buffer, edit: (header: Buffer) => void): void {
  edit(header)
  header.fill(" ", 148, 156)
  const sum = header.reduce((all, byte) => all + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
}

function changeMachine(layout: string, edit: (manifest: Document, oci: Document) => void): void {
  const entry = entryOf(layout)
  const oci = read(layout, entry.digest)
  const manifest = read(layout, oci.config.digest)
  edit(manifest, oci)
  Object.assign(oci.config, write(layout, json(manifest)))
  replace(layout, { ...entry, ...write(layout, json(oci)) })
}

/** A disk with the same content, and something behind its end. */
function otherBytes(layout: string) {
  return (manifest: Document, oci: Document) => {
    const [disk] = manifest.diskLayers
    const layer = oci.layers.find(({ digest }: Document) => digest === disk.ref)
    const bytes = readFileSync(pathOf(layout, layer.digest))
    const nonce = Buffer.alloc(1 << 16, String(process.hrtime.bigint()))
    Object.assign(layer, write(layout, Buffer.concat([bytes, nonce])))
    Object.assign(disk, { ref: layer.digest, size: layer.size })
  }
}

const json = (value: object) => Buffer.from(JSON.stringify(value))

function pathOf(layout: string, digest: string): string {
  return join(layout, "blobs/sha256", digest.slice("sha256:".length))
}

function read(layout: string, digest: string): Document {
  return JSON.parse(readFileSync(pathOf(layout, digest), "utf8"))
}

function write(layout: string, bytes: Buffer): { digest: string; size: number } {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
  writeFileSync(pathOf(layout, digest), bytes)
  return { digest, size: bytes.length }
}

function entryOf(layout: string): Document {
  return JSON.parse(readFileSync(join(layout, "index.json"), "utf8")).manifests[0]
}

function replace(layout: string, entry: Document): void {
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
}
