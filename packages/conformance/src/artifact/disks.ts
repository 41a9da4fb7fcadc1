import { type Descriptor, digestOf } from "../registry/content.ts"
import { type Artifact, artifactOf, described, OCI_MANIFEST, OVMS_MANIFEST } from "./make.ts"

const TAR = "application/vnd.oci.image.layer.v1.tar"

/** A machine that boots from its disk of these layers, base first: raw, and qcow2 on top of that. */
export function diskMachine(layers: readonly Buffer[], document: object = {}): Artifact {
  const format = (bytes: Buffer) => (bytes.toString("latin1", 0, 3) === "QFI" ? "qcow2" : "raw")
  const diskLayers = layers.map((bytes) => ({
    ref: digestOf(bytes),
    format: format(bytes),
    size: bytes.length,
  }))
  const { manifest, kernel } = artifactOf({ kernelless: true, document: { diskLayers, ...document } })
  const config = described(OVMS_MANIFEST, manifest, "manifest.json")
  const descriptors = layers.map((bytes, at): Descriptor => {
    const plain = described(TAR, bytes, `disk${at}`)
    return { ...plain, annotations: { ...plain.annotations, "ovms.format": format(bytes) } }
  })
  const oci = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: OVMS_MANIFEST,
      config,
      layers: descriptors,
    }),
  )
  return { oci, digest: digestOf(oci), manifest, kernel, blobs: [manifest, ...layers] }
}
