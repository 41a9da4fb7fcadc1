import { readFile } from "node:fs/promises"
import { isDeepStrictEqual } from "node:util"
import { gunzipSync } from "node:zlib"
import { diskMachine } from "../../artifact/disks.ts"
import { type Check, must } from "../../check.ts"
import { diskOf } from "../../foreign/disks.ts"
import { checksums } from "../../foreign/ova.ts"
import { filesOf } from "../../foreign/untar.ts"
import { type Descriptor, digestOf, type Manifest } from "../../registry/content.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { layoutOf, refusesExport } from "./exports.ts"
import { type Bench, bench, exported, imported, wholeOf } from "./stage.ts"

const DISK = diskOf("the disk of a package")
const KUBEVIRT = "application/vnd.kubevirt.virtualmachine.v1"
const EMPTY_DISK = { disks: [{ name: "data", size: 2 ** 21 }] }
const MACHINE = {
  resources: { vcpus: 3, memory: 512 << 20 },
  network: [{ mode: "none" }],
  metadata: { platform: { arch: "x86_64", uefi: true } },
}

/** The OCI layout in an archive: its entry, and its blobs by their digests. */
async function archived(path: string) {
  const files = new Map(
    filesOf(await readFile(path)).map(({ name, content }) => [name.replace(/^\.\//, ""), content]),
  )
  const blob = ({ digest }: Descriptor): Buffer => {
    const bytes = files.get(`blobs/sha256/${digest.slice(7)}`)
    must(bytes && digestOf(bytes) === digest, `the archive has no ${digest}, or other bytes under that`)
    return bytes
  }
  const manifest = (descriptor: Descriptor): Manifest => JSON.parse(`${blob(descriptor)}`)
  must(files.has("oci-layout"), "the archive is none of an OCI layout")
  const [entry, ...more] = (JSON.parse(`${files.get("index.json")}`) as Manifest).manifests ?? []
  must(entry && more.length === 0, "the layout of the archive has not one entry")
  return { entry, blob, manifest }
}

/** What KubeVirt's archive says: its index, its one manifest and its VirtualMachine. */
async function kubevirtIn(path: string) {
  const { entry, manifest, blob } = await archived(path)
  const index = manifest(entry) as Manifest
  const [only, ...more] = index.manifests ?? []
  must(only && more.length === 0, "the index has not one manifest")
  const machine = manifest(only)
  must(index.artifactType === KUBEVIRT && machine.artifactType === KUBEVIRT, `a type is not ${KUBEVIRT}`)
  must(machine.config, "the manifest has no config")
  return { machine, vm: JSON.parse(`${blob(machine.config)}`) }
}

async function again(bench: Bench, path: string) {
  const machine = await imported(bench, path)
  must(wholeOf(machine).equals(DISK), "the disk is another one once it was exported and imported")
  for (const [name, value] of Object.entries(MACHINE))
    must(
      isDeepStrictEqual(machine.manifest[name], value),
      `${name} is another one once it was exported and imported: ${JSON.stringify(machine.manifest[name])}`,
    )
  return machine
}

export const packages: readonly Check<Wrapper>[] = [
  bench("export/ova", ["OVMS-IMP-073", "OVMS-IMP-022"], async (bench) => {
    const layout = await layoutOf(bench, diskMachine([DISK], { ...MACHINE, ...EMPTY_DISK }))
    const path = await exported(bench, "ova", layout)
    const [ovf, mf, ...disks] = filesOf(await readFile(path))
    must(
      ovf && mf && /\.ovf .+\.mf$/.test(`${ovf.name} ${mf.name}`),
      "it does not begin with a descriptor and checksums",
    )
    must(disks.length === 1, `it has ${disks.length} disks, and not the one that is not empty`)
    const rest = Object.fromEntries([ovf, ...disks].map(({ name, content }) => [name, content]))
    const lines = (text: string) => text.replace(/[ \r]/g, "").split("\n").filter(Boolean).sort().join("\n")
    must(
      lines(`${mf.content}`) === lines(checksums("SHA256", rest)),
      "the checksums are not those of SHA256 of all else",
    )
    const vmdk = disks[0]?.content ?? Buffer.alloc(0)
    must(
      vmdk.toString("latin1", 0, 4) === "KDMV" && vmdk.readUInt16LE(77) === 1,
      "the VMDK is not stream-optimized",
    )
    const { manifest } = await again(bench, path)
    must(
      manifest.disks?.[0]?.size === EMPTY_DISK.disks[0]?.size,
      "the empty disk has another size afterwards",
    )
    await refusesExport(bench, ["ova", diskMachine([DISK], { architecture: "arm64" })], "/architecture")
  }),
  bench("export/containerdisk", ["OVMS-IMP-074", "OVMS-IMP-022"], async (bench) => {
    const path = await exported(bench, "containerdisk", await layoutOf(bench, diskMachine([DISK])))
    const { entry, manifest, blob } = await archived(path)
    const { config, layers = [] } = manifest(entry)
    must(/image\.config|container\.image/.test(config?.mediaType ?? ""), "the archive has no container image")
    const [layer, ...more] = layers
    must(layer && more.length === 0, `the image has ${layers.length} layers`)
    const bytes = blob(layer)
    const files = filesOf(bytes[0] === 0x1f ? gunzipSync(bytes) : bytes)
    const said = files.map(({ name, owner }) => `${name.replace(/^(\.?\/)?/, "/")} ${owner}`).join()
    must(said === "/disk/disk.qcow2 107:107", `the layer has ${said}`)
    must(wholeOf(await imported(bench, path)).equals(DISK), "the disk is another one once it is imported")
  }),
  bench("export/kubevirt", ["OVMS-IMP-075", "OVMS-IMP-022"], async (bench) => {
    const path = await exported(bench, "kubevirt", await layoutOf(bench, diskMachine([DISK], MACHINE)))
    const { machine, vm } = await kubevirtIn(path)
    const types = (machine.layers ?? []).map(({ mediaType }) => mediaType).join()
    must(types === "application/vnd.kubevirt.disk.raw+zstd", `the layers have the types ${types}`)
    must(vm.kind === "VirtualMachine", `the config is a ${vm.kind}`)
    await again(bench, path)
    await refusesExport(bench, ["kubevirt", diskMachine([DISK], EMPTY_DISK)], "/disks")
  }),
]
