import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { Sandbox } from "./sandbox.ts"

// OVAs, as VMware's and VirtualBox's tools write them, and as strangers may.

setDefaultTimeout(240_000)

const skip = ["qemu-img", "tar", "gzip", "prlimit"]
  .filter((program) => !Bun.which(program))
  .map((program) => `${program} is not installed`)
  .join(", ")
if (skip) console.log(`SKIP packages/ovm/test/import-ova.test.ts: ${skip}`)

const DISK_BYTES = 1 << 20

describe.skipIf(Boolean(skip))("OVAs", () => {
  let box: Sandbox
  let raw = ""
  beforeAll(async () => {
    box = await Sandbox.create()
    const disk = (text: string) => Buffer.alloc(DISK_BYTES).fill(text, 4096, 8192)
    raw = await box.file("disk.raw", disk("first"))
    await box.file("data.raw", disk("second"))
    for (const name of ["disk", "data"])
      run(
        "qemu-img",
        "convert",
        "-O",
        "vmdk",
        "-o",
        "subformat=streamOptimized",
        `${name}.raw`,
        `${name}.vmdk`,
      )
    await box.file("disk.vmdk.gz", run("gzip", "-c", "disk.vmdk"))
  })
  afterAll(async () => await box[Symbol.asyncDispose]())

  const run = (program: string, ...args: string[]) => {
    const done = spawnSync(program, args, { cwd: box.directory, maxBuffer: 1 << 26 })
    expect([program, done.status, `${done.stderr}`]).toEqual([program, 0, ""])
    return done.stdout
  }
  const hash = (algorithm: string, file: string) =>
    createHash(algorithm)
      .update(readFileSync(box.path(file)))
      .digest("hex")
  /** The archive of these files, in order, and of a descriptor and its checksums before them. */
  const ova = async (ovf: string, files: readonly string[], mf?: (ovf: string) => string) => {
    await box.file("vm.ovf", ovf)
    if (mf) await box.file("vm.mf", mf("vm.ovf"))
    run("tar", "cf", "vm.ova", "vm.ovf", ...(mf ? ["vm.mf"] : []), ...files)
    return "vm.ova"
  }
  const checksums = (algorithm: string, files: readonly string[]) => (ovf: string) =>
    [ovf, ...files].map((file) => `${algorithm}(${file})= ${hash(algorithm.toLowerCase(), file)}\n`).join("")
  const imported = (source: string) => box.json(["import", source, "-t", "m:1"])
  const refused = async (
    code: "OVM_DISK_INVALID" | "OVM_DIGEST_MISMATCH" | "OVM_ARTIFACT_INVALID",
    words: string[],
  ) => await box.fails(["import", "vm.ova", "-t", "bad:1"], code, ["vm.ova", ...words])

  test("disks, CPUs, memory, firmware and network are those of the descriptor [OVMS-IMP-070, OVMS-IMP-071]", async () => {
    const files = ["data.vmdk", "disk.vmdk"]
    await ova(envelope(), files, checksums("SHA256", files))
    const { remarks, format, firmware } = await imported("vm.ova")
    expect([format, firmware]).toEqual(["vmdk", "uefi"])
    expect(remarks.join("\n")).toMatch(/a CD-ROM .*left out\n.*1 of 2 network interfaces.*left out/)
    const { manifest } = await box.json(["inspect", "m:1"])
    expect(manifest).toMatchObject({
      resources: { vcpus: 2, memory: 3 << 29 },
      network: [{ mode: "user" }],
      metadata: { platform: { uefi: true } },
      disks: [{ name: "disk1" }, { name: "disk2", size: 2 ** 31 }],
    })
    await box.ok(["import", "disk.raw", "-t", "disk:1"])
    const alone = await box.json(["inspect", "disk:1"])
    expect(manifest.diskLayers).toEqual(alone.manifest.diskLayers)
    // A flag has the last word.
    await box.ok(["import", "vm.ova", "-t", "m:1", "--memory", "1GiB", "--cpus", "4", "--firmware", "bios"])
    const asked = await box.json(["inspect", "m:1"])
    expect(asked.manifest).toMatchObject({ resources: { vcpus: 4, memory: 1 << 30 } })
    expect(asked.manifest.metadata).toBeUndefined()
    run("gzip", "-kf", "vm.ova")
    expect((await imported("vm.ova.gz")).format).toBe("vmdk")
  })

  test("an export is a package of its own, and the same machine again [OVMS-IMP-022, OVMS-IMP-073]", async () => {
    const files = ["data.vmdk", "disk.vmdk"]
    await ova(envelope(), files, checksums("SHA256", files))
    await imported("vm.ova")
    const before = await box.json(["inspect", "m:1"])
    await box.ok(["export", "m:1", "--format", "ova", "-o", "out.ova"])
    const names = `${run("tar", "tf", "out.ova")}`.trim().split("\n")
    expect(names).toEqual(["m.ovf", "m.mf", "m-disk0.vmdk", "m-disk1.vmdk"])
    run("tar", "xf", "out.ova")
    for (const line of readFileSync(box.path("m.mf"), "utf8").trim().split("\n")) {
      const [, name = "", hex] = /^SHA256\((.+)\)= (.+)$/.exec(line) ?? []
      expect([name, hash("sha256", name)]).toEqual([name, hex as string])
    }
    run("qemu-img", "compare", "-f", "vmdk", "-F", "raw", "m-disk0.vmdk", "disk.raw")
    await box.ok(["import", "out.ova", "-t", "m:2"])
    const { manifest } = await box.json(["inspect", "m:2"])
    expect(manifest).toEqual(before.manifest)
    const piped = await box.shell("ovm export m:1 --format ova -o - | ovm import - -t m:3 --json")
    expect(JSON.parse(piped.stdout).format).toBe("vmdk")
  })

  test("SHA1, none at all, and a disk that is compressed once more are right [OVMS-IMP-070]", async () => {
    const simple = small('<File ovf:id="f1" ovf:href="disk.vmdk"/>')
    await ova(simple, ["disk.vmdk"], checksums("SHA1", ["disk.vmdk"]))
    const { digest, firmware } = await imported("vm.ova")
    expect(firmware).toBe("bios")
    await ova(simple, ["disk.vmdk"])
    expect((await imported("vm.ova")).digest).toBe(digest)
    const packed = small('<File ovf:id="f1" ovf:href="disk.vmdk.gz" ovf:compression="gzip"/>')
    await ova(packed, ["disk.vmdk.gz"], checksums("SHA256", ["disk.vmdk.gz"]))
    expect((await imported("vm.ova")).digest).toBe(digest)
  })

  test("a descriptor is taken with the files beside it, none of them a link [OVMS-IMP-083]", async () => {
    const simple = small('<File ovf:id="f1" ovf:href="disk.vmdk"/>')
    await ova(simple, ["disk.vmdk"])
    const { digest } = await imported("vm.ova")
    run("mkdir", "loose")
    run("cp", "disk.vmdk", "vm.ovf", "loose")
    run("cp", "vm.ovf", "loose/more.ovf")
    await box.file("loose/vm.mf", checksums("SHA256", ["disk.vmdk"])("vm.ovf"))
    await box.file("loose/other.mf", "of another one\n")
    expect((await imported("loose/vm.ovf")).digest).toBe(digest)
    await box.file(
      "loose/vm.mf",
      checksums("SHA256", ["disk.vmdk"])("vm.ovf").replace(/.{8}\n$/, "00000000\n"),
    )
    const fails = async (code: Parameters<typeof refused>[0], words: string[]) =>
      await box.fails(["import", "loose/vm.ovf", "-t", "bad:1"], code, ["vm.ovf", ...words])
    await fails("OVM_DIGEST_MISMATCH", ["disk.vmdk"])
    run("ln", "-sf", "/etc/shadow", "loose/disk.vmdk")
    await fails("OVM_DISK_INVALID", ["lacks", "disk.vmdk"])
    run("gzip", "loose/vm.ovf")
    await box.fails(["import", "loose/vm.ovf.gz", "-t", "bad:1"], "OVM_DISK_INVALID", ["beside its files"])
  })

  test("what is not whole, or not as it says, is refused by name [OVMS-IMP-072, OVMS-IMP-003]", async () => {
    const file = (href: string, more = "") => small(`<File ovf:id="f1" ovf:href="${href}" ${more}/>`)
    const good = file("disk.vmdk")
    const wrong = (ovf: string) =>
      checksums("SHA256", ["disk.vmdk"])(ovf).replace(/\)= [0-9a-f]{8}/g, ")= 00000000")
    await ova(good, ["disk.vmdk"], wrong)
    await refused("OVM_DIGEST_MISMATCH", ["vm.ovf", "checksum"])
    const last = (ovf: string) => checksums("SHA256", ["disk.vmdk"])(ovf).replace(/.{8}\n$/, "00000000\n")
    await ova(good, ["disk.vmdk"], last)
    await refused("OVM_DIGEST_MISMATCH", ["disk.vmdk", "checksum"])
    await ova(good, ["disk.vmdk"], checksums("SHA256", []))
    await refused("OVM_DISK_INVALID", ["no checksum", "disk.vmdk"])
    await ova(good, ["disk.vmdk"], () => "MD5(disk.vmdk)= 00\n")
    await refused("OVM_DISK_INVALID", ["vm.mf", "line 1"])
    await ova(good, ["data.vmdk"])
    await refused("OVM_DISK_INVALID", ["lacks", "disk.vmdk"])
    await box.file("more.ovf", good)
    await ova(good, ["disk.vmdk", "more.ovf"])
    await refused("OVM_DISK_INVALID", ["2 descriptors"])
    for (const href of ["../disk.vmdk", "/etc/shadow", "http://example.com/disk.vmdk"]) {
      await ova(file(href), ["disk.vmdk"])
      await refused("OVM_DISK_INVALID", [href, "not in the archive"])
    }
    await ova(file("disk.vmdk", 'ovf:chunkSize="10"'), ["disk.vmdk"])
    await refused("OVM_DISK_INVALID", ["several parts"])
    await ova(good, ["-P", "--transform=s,disk,../disk,", "disk.vmdk"])
    await refused("OVM_ARTIFACT_INVALID", ["../disk.vmdk"])
    await box.file(
      "flat.vmdk",
      '# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n',
    )
    await ova(file("flat.vmdk"), ["flat.vmdk"])
    await refused("OVM_DISK_INVALID", ["flat.vmdk", "descriptor"])
    const bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "/etc/shadow">]>'
    await ova(good.replace("<Envelope", `${bomb}<Envelope`), ["disk.vmdk"])
    await refused("OVM_DISK_INVALID", ["document type"])
    await ova(good.replace("</Envelope>", ""), ["disk.vmdk"])
    await refused("OVM_DISK_INVALID", ["vm.ovf"])
    await ova(good.replace("<VirtualSystem ", '<VirtualSystem ovf:id="other"/><VirtualSystem '), [
      "disk.vmdk",
    ])
    await refused("OVM_DISK_INVALID", ["several machines"])
    await ova(good.replace("/disk/d1", "/disk/d9"), ["disk.vmdk"])
    await refused("OVM_DISK_INVALID", ["d9"])
    await ova(good.replace('ovf:fileRef="f1"', 'ovf:capacity="1048576"'), ["disk.vmdk"])
    await refused("OVM_DISK_INVALID", ["without a disk to boot from"])
    const hardware = "<VirtualHardwareSection>"
    for (const quantity of ["-1", "1e9", "1.5"]) {
      const vcpus = item(3, { VirtualQuantity: quantity })
      await ova(good.replace(hardware, `${hardware}${vcpus}`), ["disk.vmdk"])
      await refused("OVM_DISK_INVALID", ["VirtualQuantity", quantity])
    }
    // Before any disk is looked for, which would be converted.
    const [mib, tib] = ["byte * 2^20", "byte * 2^40"]
    for (const [type, quantity, unit] of [
      [3, 0, ""],
      [3, 256, ""],
      [4, 0, mib],
      [4, 17, tib],
      [4, 1000, "byte"],
    ] as const) {
      const asked = item(type, { VirtualQuantity: quantity, AllocationUnits: unit })
      await ova(good.replace(hardware, `${hardware}${asked}`), [])
      await refused("OVM_DISK_INVALID", [`the VirtualQuantity of its Item of ResourceType ${type} is`])
    }
    const large = good.replace(hardware, `${hardware}${item(3, { VirtualQuantity: 256 })}`)
    await ova(large, ["disk.vmdk"])
    await box.ok(["import", "vm.ova", "-t", "m:1", "--cpus", "2"])
    // Each of them is held against all before it by a parser of XML.
    const many = Array.from({ length: 100_000 }, (_, index) => `a${index}=""`).join(" ")
    await ova(good.replace(hardware, `${hardware}<Item ${many}/>`), ["disk.vmdk"])
    await refused("OVM_DISK_INVALID", ["too many attributes"])
    expect(raw).toBe(box.path("disk.raw"))
  })
})

const NAMES = [
  'xmlns="http://schemas.dmtf.org/ovf/envelope/1"',
  'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"',
  'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"',
  'xmlns:vmw="http://www.vmware.com/schema/ovf"',
].join(" ")

function item(type: number, members: Readonly<Record<string, string | number>>): string {
  const all = { ...members, ResourceType: type }
  return `<Item>${Object.entries(all)
    .map(([name, value]) => `<rasd:${name}>${value}</rasd:${name}>`)
    .join("")}</Item>`
}

/** One disk, and nothing that a machine needs not have. */
function small(files: string): string {
  return `<?xml version="1.0"?>
<Envelope ${NAMES}><References>${files}</References>
<DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
<VirtualSystem ovf:id="vm"><Info/><VirtualHardwareSection><Info/>
${item(17, { InstanceID: 1, HostResource: "ovf:/disk/d1" })}${item(10, { InstanceID: 2 })}
</VirtualHardwareSection></VirtualSystem></Envelope>`
}

/** Three disks at two controllers, the first of which is not the first in the text, and items of two configurations. */
function envelope(): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope ${NAMES}>
<References><File ovf:href="data.vmdk" ovf:id="f2"/><File ovf:href="disk.vmdk" ovf:id="f1"/></References>
<DiskSection><Info/>
<Disk ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d2" ovf:fileRef="f2"/>
<Disk ovf:capacity="2" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="d3"/>
<Disk ovf:capacity="1048576" ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
<NetworkSection><Info/><Network ovf:name="VM Network"/></NetworkSection>
<DeploymentOptionSection><Info/><Configuration ovf:id="large"/>
<Configuration ovf:id="small" ovf:default="true"/></DeploymentOptionSection>
<VirtualSystem ovf:id="vm"><Info/><VirtualHardwareSection><Info/>
${item(3, { InstanceID: 1, VirtualQuantity: 8 }).replace("<Item>", '<Item ovf:configuration="large">')}
${item(3, { InstanceID: 1, VirtualQuantity: 2 }).replace("<Item>", '<Item ovf:configuration="small">')}
${item(4, { InstanceID: 2, VirtualQuantity: 1536, AllocationUnits: "byte * 2^20" })}
${item(20, { InstanceID: 3 })}${item(6, { InstanceID: 4 })}
${item(17, { InstanceID: 5, Parent: 4, AddressOnParent: 0, HostResource: "/disk/d3" })}
${item(17, { InstanceID: 6, Parent: 3, AddressOnParent: 1, HostResource: "ovf:/disk/d2" })}
${item(17, { InstanceID: 7, Parent: 3, AddressOnParent: 0, HostResource: "ovf:/disk/d1" })}
${item(15, { InstanceID: 8, HostResource: "ovf:/file/cd" })}
${item(10, { InstanceID: 9 })}${item(10, { InstanceID: 10 })}
<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
</VirtualHardwareSection></VirtualSystem></Envelope>`
}
