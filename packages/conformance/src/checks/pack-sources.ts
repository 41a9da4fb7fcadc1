import { kernelOf } from "../artifact/make.ts"
import { emptyOverlay, qcow2Head } from "../artifact/qcow2.ts"
import { digestOf, utf8 } from "../registry/content.ts"

// What is packed, and the OVMS manifest that comes of it.

export interface Files {
  readonly source: object
  readonly [name: string]: Uint8Array | object
}

export const GOOD: Files = {
  source: {
    schemaVersion: 1,
    name: "suite/packed",
    kernel: { path: "vmlinuz", args: "console=ttyS0" },
    initrd: { path: "initrd" },
    diskLayers: [{ path: "base.raw", format: "raw" }],
    resources: { vcpus: 1, memory: 134217728 },
  },
  vmlinuz: kernelOf(1),
  initrd: utf8("an initrd"),
  "base.raw": Buffer.alloc(4096, 5),
}

/** A machine of one disk that has some of all there is, and words that are written in one way only. */
export const RICH: Files = {
  ...GOOD,
  source: {
    ...GOOD.source,
    version: "1",
    diskLayers: [{ path: "base.raw" }, { path: "upper" }],
    devices: [{ type: "ivshmem", name: "shared", size: 4096, required: false }],
    network: [{ mode: "user", ports: [{ guest: 80 }] }],
    metadata: { author: "Zoë </ ?>", description: 'a "b" \\ c', platform: { arch: "x86_64" } },
    runtimeHints: { preferredRuntime: ["qemu"], coldStartTargetMs: 500 },
    annotations: { "9": "nine", "10": "ten", a: "é", A: "" },
  },
  // The same bytes for two parts: each is of its own type.
  initrd: kernelOf(1),
  upper: emptyOverlay(1 << 20, "base.raw"),
}

/** The same with disks beside the first, and what its firmware starts with. */
export const RICHER: Files = {
  ...RICH,
  source: {
    ...RICH.source,
    disks: [
      { name: "data", layers: [{ path: "data" }, { path: "more" }] },
      { name: "room", size: 1 << 20 },
    ],
    firmware: { variables: { path: "variables" } },
    metadata: { platform: { arch: "x86_64", uefi: true } },
  },
  data: qcow2Head(1 << 20, 4),
  more: emptyOverlay(2 << 20, "data"),
  variables: Buffer.alloc(4096, 6),
}

/** What a packer makes of the members of a source, as far as that is one thing alone. */
export function manifestOf({ source, ...files }: Files): Record<string, unknown> {
  const {
    schemaVersion: _,
    annotations: __,
    kernel,
    initrd,
    diskLayers,
    disks,
    firmware,
    ...same
  } = source as Source
  const blob = (path: string) => files[path] as Uint8Array
  const ref = (path: string) => ({ ref: digestOf(blob(path)) })
  const layer = ({ path }: Path) => ({
    ...ref(path),
    format: path === "base.raw" ? "raw" : "qcow2",
    size: blob(path).length,
  })
  return {
    ...same,
    kernel: { ...ref(kernel.path), args: kernel.args },
    initrd: ref(initrd.path),
    diskLayers: diskLayers.map(layer),
    ...(disks && {
      disks: disks.map((disk) => ({ ...disk, ...(disk.layers && { layers: disk.layers.map(layer) }) })),
    }),
    ...(firmware && {
      firmware: {
        variables: { ...ref(firmware.variables.path), size: blob(firmware.variables.path).length },
      },
    }),
  }
}

interface Path {
  readonly path: string
}
export interface Source {
  readonly [name: string]: unknown
  readonly kernel: Path & { readonly args: string }
  readonly initrd: Path
  readonly diskLayers: readonly Path[]
  readonly disks?: readonly { readonly layers?: readonly Path[] }[]
  readonly firmware?: { readonly variables: Path }
}
