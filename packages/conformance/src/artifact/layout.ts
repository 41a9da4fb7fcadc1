import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fail, must } from "../check.ts"
import { type Descriptor, digestOf, type Manifest, parsed } from "../registry/content.ts"
import { type Artifact, OCI_INDEX, OCI_MANIFEST } from "./make.ts"

/** Writes an OCI layout with one artifact, under a tag if it has one. */
export async function writeLayout(
  folder: string,
  { oci, blobs, digest, base }: Pick<Artifact, "oci" | "blobs" | "digest" | "base">,
  tag?: string,
  mediaType = OCI_MANIFEST,
): Promise<string> {
  await mkdir(join(folder, "blobs/sha256"), { recursive: true })
  for (const bytes of [oci, ...blobs, ...(base ? [base.oci, ...base.blobs] : [])])
    await writeFile(blobPath(folder, digestOf(bytes)), bytes)
  const annotations = tag === undefined ? undefined : { "org.opencontainers.image.ref.name": tag }
  const entry = { mediaType, digest, size: oci.length, annotations }
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }
  await writeFile(join(folder, "index.json"), JSON.stringify(index))
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  return folder
}

export interface ReadLayout {
  readonly digest: string
  readonly oci: Manifest
  readonly bytes: Buffer
  blob(descriptor: Descriptor): Promise<Buffer>
}

/** The one artifact that an implementation has put into a layout, all of it verified; fails if it is not whole. */
export async function readLayout(folder: string): Promise<ReadLayout> {
  const { imageLayoutVersion } = JSON.parse((await file(join(folder, "oci-layout"))).toString())
  must(imageLayoutVersion === "1.0.0", `oci-layout says the version ${imageLayoutVersion}`)
  const index = parsed(await file(join(folder, "index.json")))
  const [entry, ...more] = (index.manifests ?? []).filter(
    (one, at, all) => all.findIndex(({ digest }) => digest === one.digest) === at,
  )
  must(entry, "index.json of the layout names no artifact")
  must(more.length === 0, "index.json of the layout names several artifacts")
  must(entry.mediaType, "index.json does not say what the artifact is")
  const blob = async (descriptor: Descriptor) => {
    must(/^sha256:[0-9a-f]{64}$/.test(descriptor.digest), `${descriptor.digest} is no digest`)
    const bytes = await file(blobPath(folder, descriptor.digest))
    must(
      digestOf(bytes) === descriptor.digest,
      `the blob ${descriptor.digest} of the layout has another digest`,
    )
    must(
      bytes.length === descriptor.size,
      `${descriptor.digest} has ${bytes.length} bytes, not ${descriptor.size}`,
    )
    return bytes
  }
  const bytes = await blob(entry)
  const oci = parsed(bytes)
  for (const descriptor of [oci.config, ...(oci.layers ?? [])]) if (descriptor) await blob(descriptor)
  return { digest: entry.digest, oci, bytes, blob }
}

/** What the config of an artifact says: the OVMS manifest of a machine. Nothing without one. */
export async function documentOf({ oci, blob }: Pick<ReadLayout, "oci" | "blob">) {
  return oci.config && JSON.parse((await blob(oci.config)).toString())
}

/** Fails unless there is no layout at all, or one that names nothing and in which each blob is what its name says. */
export async function isOfNothing(folder: string, words: string): Promise<void> {
  const bytes = await readFile(join(folder, "index.json")).catch(() => undefined)
  const named = bytes === undefined ? [] : (parsed(bytes).manifests ?? [])
  must(named.length === 0, words)
  for (const name of await readdir(join(folder, "blobs/sha256")).catch(() => [])) {
    const wrong =
      /^[0-9a-f]{64}$/.test(name) && digestOf(await file(blobPath(folder, name))) !== `sha256:${name}`
    must(!wrong, `what is under the digest ${name} in the layout has another one`)
  }
}

function blobPath(folder: string, digest: string): string {
  return join(folder, "blobs/sha256", digest.replace("sha256:", ""))
}

async function file(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (thrown) {
    fail(`the layout cannot be read: ${(thrown as Error).message}`)
  }
}
