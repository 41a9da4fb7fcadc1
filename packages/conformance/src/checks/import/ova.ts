import { mkdir, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Check, must } from "../../check.ts"
import { diskOf, vmdkOf, vmdkText } from "../../foreign/disks.ts"
import { checksums, largeOvf, type OvaParts, ovaOf, smallOvf, VIRTUALBOX_UEFI } from "../../foreign/ova.ts"
import { archiveOf } from "../../foreign/tar.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { type Bench, bench, file, imported, refuses, wholeOf } from "./stage.ts"

const DISK = diskOf("the first disk")
const FILES = { "disk.vmdk": vmdkOf(DISK) }
const OVF = smallOvf()
const OVA: OvaParts = { ovf: OVF, files: FILES }
const ALL = { "vm.ovf": OVF, ...FILES }

/** Archives that are refused, with the code. */
function refused(
  name: string,
  id: string,
  code: string,
  archives: Readonly<Record<string, OvaParts | Buffer>>,
): Check<Wrapper> {
  return bench(`import/ova/refuses-${name}`, [id], async (bench) => {
    for (const [name, parts] of Object.entries(archives)) {
      const bytes = Buffer.isBuffer(parts) ? parts : ovaOf(parts)
      await refuses(bench, [await file(bench, name, bytes), code])
    }
  })
}

/** The last digits of the last sum are others. */
function wrong(sums: string): string {
  return `${sums.slice(0, -9)}${sums.slice(-9, -1) === "00000000" ? "11111111" : "00000000"}\n`
}

function named(href: string, more = ""): OvaParts {
  return { ...OVA, ovf: smallOvf(`<File ovf:id="f1" ovf:href="${href}" ${more}/>`) }
}

/** The parts of an OVA as files of a folder; the descriptor's path. */
async function unpacked({ folder }: Bench, name: string, { ovf, files, mf }: OvaParts): Promise<string> {
  const into = join(folder, name)
  await mkdir(into)
  const all = { "vm.ovf": ovf, ...files, ...(mf !== undefined && { "vm.mf": mf }) }
  for (const [name, content] of Object.entries(all)) await writeFile(join(into, name), content)
  return join(into, "vm.ovf")
}

export const ovaImports: readonly Check<Wrapper>[] = [
  bench("import/ova/checksums", ["OVMS-IMP-070"], async (bench) => {
    for (const algorithm of ["SHA1", "SHA256", "SHA512"]) {
      const source = await file(bench, algorithm, ovaOf({ ...OVA, mf: checksums(algorithm, ALL) }))
      must(
        wholeOf(await imported(bench, source)).equals(DISK),
        `of the OVA with ${algorithm} the disk differs`,
      )
    }
  }),
  bench("import/ovf-in-a-folder", ["OVMS-IMP-083"], async (bench) => {
    const source = await unpacked(bench, "whole", { ...OVA, mf: checksums("SHA256", ALL) })
    must(wholeOf(await imported(bench, source)).equals(DISK), "the disk of the folder is another one")
    const differs = await unpacked(bench, "differs", { ...OVA, mf: wrong(checksums("SHA256", ALL)) })
    await refuses(bench, [differs, "OVM_DIGEST_MISMATCH"])
    // Checksums of another descriptor are none of this one.
    const other = await unpacked(bench, "other", OVA)
    await writeFile(join(other, "../other.mf"), wrong(checksums("SHA256", ALL)))
    await imported(bench, other)
    const linked = await unpacked(bench, "linked", { ...OVA, files: {} })
    await symlink(join(source, "../disk.vmdk"), join(linked, "../disk.vmdk"))
    await refuses(bench, [linked, "OVM_DISK_INVALID"])
    await refuses(bench, [await unpacked(bench, "climbs", named("../whole/disk.vmdk")), "OVM_DISK_INVALID"])
  }),
  refused("checksums-that-differ", "OVMS-IMP-070", "OVM_DIGEST_MISMATCH", {
    SHA1: { ...OVA, mf: wrong(checksums("SHA1", ALL)) },
    SHA256: { ...OVA, mf: wrong(checksums("SHA256", ALL)) },
    SHA512: { ...OVA, mf: wrong(checksums("SHA512", ALL)) },
    descriptor: { ...OVA, mf: checksums("SHA256", { ...ALL, "vm.ovf": `${OVF} ` }) },
  }),
  refused("files-without-a-checksum", "OVMS-IMP-070", "OVM_DISK_INVALID", {
    disk: { ...OVA, mf: checksums("SHA256", { "vm.ovf": OVF }) },
    descriptor: { ...OVA, mf: checksums("SHA256", FILES) },
  }),
  bench("import/ova/machine", ["OVMS-IMP-071"], async (bench) => {
    const data = diskOf("data of it")
    const files = { "data.vmdk": vmdkOf(data), ...FILES }
    const machine = await imported(bench, await file(bench, "ova", ovaOf({ ovf: largeOvf(), files })))
    const { resources, network, metadata, disks = [] } = machine.manifest
    must(wholeOf(machine).equals(DISK), "the first disk is not the first of the first controller")
    must(
      resources?.vcpus === 2,
      `the machine has ${resources?.vcpus} CPUs: those of the default configuration are 2`,
    )
    must(resources?.memory === 1536 << 20, `the machine has ${resources?.memory} bytes of memory`)
    must(metadata?.platform?.uefi === true, "the machine is not to boot by UEFI, as VMware says it is")
    must(
      network?.length === 1 && network[0].mode === "none",
      "a machine without an interface has another network",
    )
    must(disks.length === 2 && disks[0].layers, "the second disk is not that with data")
    must(disks[1].size === 2 ** 31, `the empty disk has ${disks[1].size} bytes`)
    const virtualbox = ovaOf({ ...OVA, ovf: smallOvf(undefined, VIRTUALBOX_UEFI) })
    const { manifest } = await imported(bench, await file(bench, "virtualbox", virtualbox))
    must(
      manifest.metadata?.platform?.uefi === true,
      "the machine is not to boot by UEFI, as VirtualBox says it is",
    )
  }),
  refused("descriptors", "OVMS-IMP-072", "OVM_DISK_INVALID", {
    two: { ...OVA, files: { "more.ovf": Buffer.from(OVF), ...FILES } },
    "of-other-checksums": archiveOf([
      { name: "vm.ovf", content: OVF },
      { name: "other.mf", content: checksums("SHA256", ALL) },
      { name: "disk.vmdk", content: FILES["disk.vmdk"] },
    ]),
    "not-well-formed": { ovf: OVF.replace("</Envelope>", ""), files: FILES },
    "document-type": {
      ovf: OVF.replace("<Envelope", '<!DOCTYPE x [<!ENTITY a "b">]><Envelope'),
      files: FILES,
    },
    "two-machines": {
      ovf: OVF.replace("<VirtualSystem ", '<VirtualSystem ovf:id="other"/><VirtualSystem '),
      files: FILES,
    },
    "no-machine": { ovf: OVF.replace(/<VirtualSystem .*<\/VirtualSystem>/s, ""), files: FILES },
  }),
  refused("files", "OVMS-IMP-072", "OVM_DISK_INVALID", {
    "not-there": { ovf: OVF, files: { "other.vmdk": FILES["disk.vmdk"] } },
    climbs: named("../disk.vmdk"),
    absolute: named("/disk.vmdk"),
    scheme: named("file:disk.vmdk"),
    "in-parts": named("disk.vmdk", 'ovf:chunkSize="10"'),
    twice: archiveOf([
      { name: "vm.ovf", content: OVF },
      { name: "disk.vmdk", content: FILES["disk.vmdk"] },
      { name: "disk.vmdk", content: FILES["disk.vmdk"] },
    ]),
    "with-a-parent": {
      ovf: OVF.replace('ovf:fileRef="f1"', 'ovf:fileRef="f1" ovf:parentRef="d0"'),
      files: FILES,
    },
  }),
  refused("a-disk-that-is-elsewhere", "OVMS-IMP-003", "OVM_DISK_INVALID", {
    flat: {
      ovf: OVF,
      files: {
        "disk.vmdk": Buffer.from(vmdkText("monolithicFlat", 'RW 2048 FLAT "/dev/zero" 0').padEnd(512)),
      },
    },
  }),
]
