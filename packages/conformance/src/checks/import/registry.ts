import { gzipSync } from "node:zlib"
import { type Check, fail, must } from "../../check.ts"
import { containerIn } from "../../foreign/container.ts"
import { diskOf, qcow2Of } from "../../foreign/disks.ts"
import { ForeignLayout } from "../../foreign/layout.ts"
import type { TarEntry } from "../../foreign/tar.ts"
import type { Descriptor } from "../../registry/content.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { type Bench, bench, imported, newLayout, refuses, wholeOf } from "./stage.ts"

const DISK = diskOf("a disk in a registry")
const OTHER = diskOf("another one")
const HERE = { platform: { os: "linux", architecture: "amd64" } }
const KUBEVIRT = "application/vnd.kubevirt.virtualmachine.v1"

const layoutOf = (bench: Bench) => new ForeignLayout(newLayout(bench))

async function sameDisk(bench: Bench, folder: string, words: string): Promise<void> {
  must(
    wholeOf(await imported(bench, folder)).equals(DISK),
    `${words}: the disk is another one in the machine`,
  )
}

function containerDisk(bench: Bench, layers: readonly (readonly TarEntry[])[]): string {
  const layout = layoutOf(bench)
  const packed = (tar: Buffer) => gzipSync(tar)
  const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"
  return layout.only(containerIn(layout, layers, { packed, layerType }))
}

const FILE = { name: "disk/fedora.qcow2", content: qcow2Of(DISK), uid: 107, gid: 107 }

/** A manifest with layers of a type that nobody knows. */
function unknown(layout: ForeignLayout, layers: readonly Buffer[]): Descriptor {
  const artifactType = "application/vnd.example.disk"
  return layout.manifest({
    artifactType,
    layers: layers.map((bytes) => layout.blob("application/x-disk", bytes)),
  })
}

interface Vm {
  readonly spec: { readonly template: { readonly spec: object } }
  readonly metadata?: object
}

/** KubeVirt's virtual machine with the disks `tools` and `root`. */
function virtualMachine(bench: Bench, vm: object, platform: object = HERE): string {
  const layout = layoutOf(bench)
  const disk = (name: string, bytes: Buffer) =>
    layout.blob("application/vnd.kubevirt.disk.raw+gzip", gzipSync(bytes), {
      annotations: { "io.kubevirt.disk.name": name },
    })
  const config = layout.blob("application/vnd.kubevirt.virtualmachine.config.v1+json", vm)
  const layers = [disk("tools", OTHER), disk("root", DISK)]
  const manifest = layout.manifest({ artifactType: KUBEVIRT, config, layers }, platform)
  return layout.only(layout.index([manifest], { artifactType: KUBEVIRT }))
}

function vmOf(domain: object, more: object = {}): Vm {
  const volumes = [{ name: "tools" }, { name: "root" }, { name: "init" }]
  const template = { spec: { domain, volumes, ...more } }
  return { kind: "VirtualMachine", metadata: { name: "vm" }, spec: { template } } as Vm
}

const DOMAIN = {
  cpu: { cores: 2, sockets: 2, threads: 1 },
  memory: { guest: "1Gi" },
  firmware: { bootloader: { efi: {} } },
  devices: {
    disks: [
      { name: "tools", cdrom: {} },
      { name: "root", disk: {}, bootOrder: 1 },
    ],
    interfaces: [],
  },
}

/** What is kept in the annotations, in one text. */
function keptOf(annotations: Readonly<Record<string, string>> = {}): string {
  const pieces: string[] = []
  for (let at = 0; ; at++) {
    const piece = annotations[`io.kubevirt.virtualmachine.kept.${at}`]
    if (piece === undefined) return pieces.join("")
    must(piece.length <= 4096, `a piece of what is kept has ${piece.length} characters`)
    pieces.push(piece)
  }
}

export const registryImports: readonly Check<Wrapper>[] = [
  bench("import/container-disk", ["OVMS-IMP-062"], async (bench) => {
    await sameDisk(bench, containerDisk(bench, [[FILE]]), "a containerDisk")
    await sameDisk(
      bench,
      containerDisk(bench, [[], [{ ...FILE, name: "./disk/it" }], []]),
      "one with empty layers",
    )
    const raw = { ...FILE, name: "disk/other", content: DISK }
    for (const layers of [[[FILE, raw]], [[FILE], [raw]]])
      await refuses(bench, [containerDisk(bench, layers), "OVM_DISK_INVALID"])
  }),
  bench("import/unknown-type", ["OVMS-IMP-063"], async (bench) => {
    const one = layoutOf(bench)
    await sameDisk(bench, one.only(unknown(one, [qcow2Of(DISK)])), "an artifact of one layer")
    for (const layers of [[], [DISK, OTHER]]) {
      const layout = layoutOf(bench)
      await refuses(bench, [layout.only(unknown(layout, layers)), "OVM_ARTIFACT_INVALID"])
    }
  }),
  bench("import/unsupported-artifact", ["OVMS-IMP-063"], async (bench) => {
    const other = layoutOf(bench)
    const entry = { ...unknown(other, [DISK]), platform: { os: "linux", architecture: "s390x" } }
    await refuses(bench, [other.only(other.index([entry])), "OVM_UNSUPPORTED"])
    const { layout } = await imported(bench, ((at) => at.only(unknown(at, [DISK])))(layoutOf(bench)))
    await refuses(bench, [layout, "OVM_UNSUPPORTED"])
  }),
  bench("import/kubevirt", ["OVMS-IMP-064"], async (bench) => {
    const machine = await imported(bench, virtualMachine(bench, vmOf(DOMAIN)))
    const { resources, network, metadata, disks = [] } = machine.manifest
    must(wholeOf(machine).equals(DISK), "the first disk is not that with the first bootOrder")
    must(disks.length === 1 && disks[0].readOnly === true, "the CD-ROM is not a second, read-only disk")
    must(resources?.vcpus === 4, `the machine has ${resources?.vcpus} CPUs, and not 2 × 2`)
    must(resources?.memory === 2 ** 30, `the machine has ${resources?.memory} bytes of memory`)
    must(metadata?.platform?.uefi === true, "the machine is not to boot by UEFI")
    must(
      network?.length === 1 && network[0].mode === "none",
      "a machine without an interface has another network",
    )
    const { memory: _, ...domain } = DOMAIN
    const requested = { ...domain, resources: { requests: { memory: "256Mi" } } }
    const { manifest } = await imported(bench, virtualMachine(bench, vmOf(requested)))
    must(manifest.resources?.memory === 256 << 20, "the memory that is requested is not that of the machine")
  }),
  bench("import/kubevirt-unsupported", ["OVMS-IMP-065"], async (bench) => {
    for (const vm of [vmOf({ firmware: { kernelBoot: {} } }), vmOf(DOMAIN, { architecture: "arm64" })])
      await refuses(bench, [virtualMachine(bench, vm), "OVM_UNSUPPORTED"])
  }),
  bench("import/kubevirt-kept", ["OVMS-IMP-066"], async (bench) => {
    const vm = { ...vmOf(DOMAIN), metadata: { name: "vm", annotations: { note: "Grüße, 🙂".repeat(900) } } }
    const { read } = await imported(bench, virtualMachine(bench, vm))
    const kept = JSON.stringify(jsonOf(keptOf(read.oci.annotations)))
    must(kept.includes(vm.metadata.annotations.note), "the annotations do not keep the VirtualMachine")
    must(kept.includes("io.kubevirt.disk.name"), "the annotations of the layers are not kept")
    const long = { ...vm, metadata: { annotations: { long: "x".repeat(32 * 4096) } } }
    await refuses(bench, [virtualMachine(bench, long), "OVM_TOO_LARGE"])
  }),
]

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    fail("what the annotations keep is no JSON")
  }
}
