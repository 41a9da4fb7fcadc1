import { digestOf, utf8 } from "../../registry/content.ts"
import { GUEST_MEMORY, guestKernel } from "../guest.ts"
import { type Artifact, arm64Kernel, artifactOf, described, OCI_MANIFEST, OVMS_MANIFEST } from "../make.ts"
import { qcow2With } from "./disk.ts"

export const CREATED = "2026-01-01T00:00:00Z"
export const DISK = "application/vnd.oci.image.layer.v1.tar"

/** A kernel that boots, an initial RAM disk that nobody reads, and a disk of two layers: the second decides. */
export function goldenMachine(): Artifact {
  const kernel = guestKernel()
  const initrd = utf8("an initial RAM disk that nobody reads\n")
  const disks = [
    qcow2With({ 0: "cluster 0 of the base\n", 1: "cluster 1 of the base\n" }),
    qcow2With({ 1: "cluster 1 of the second layer\n" }),
  ]
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 1,
      mediaType: OVMS_MANIFEST,
      name: "golden/machine",
      version: "1.0.0",
      os: "linux",
      architecture: "amd64",
      kernel: { ref: digestOf(kernel), args: "console=ttyS0 tick_ms=100 read=8" },
      initrd: { ref: digestOf(initrd) },
      diskLayers: disks.map((bytes) => ({ ref: digestOf(bytes), format: "qcow2", size: bytes.length })),
      resources: { vcpus: 1, memory: GUEST_MEMORY },
    }),
  )
  const oci = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: OVMS_MANIFEST,
      config: described(OVMS_MANIFEST, manifest, "manifest.json"),
      layers: [
        described("application/vnd.ovms.kernel.v1", kernel, "kernel.bin"),
        described("application/vnd.ovms.initrd.v1", initrd, "initrd.img"),
        ...disks.map((bytes, at) => qcow2Layer(bytes, `disk${at}.qcow2`)),
      ],
      annotations: { "org.opencontainers.image.created": CREATED },
    }),
  )
  return { oci, digest: digestOf(oci), manifest, kernel, blobs: [manifest, kernel, initrd, ...disks] }
}

export function qcow2Layer(bytes: Buffer, title: string) {
  const plain = described(DISK, bytes, title)
  return { ...plain, annotations: { ...plain.annotations, "ovms.format": "qcow2" } }
}

/** The same name for another architecture: a kernel by its header, and a raw disk. */
export function arm64Machine(): Artifact {
  const kernel = arm64Kernel()
  const args = "console=ttyAMA0"
  const document = { name: "golden/machine", architecture: "arm64", kernel: { ref: digestOf(kernel), args } }
  return artifactOf({ kernel, document })
}
