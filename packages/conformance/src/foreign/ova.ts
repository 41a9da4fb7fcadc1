import { createHash } from "node:crypto"
import { archiveOf } from "./tar.ts"

const NAMES = [
  'xmlns="http://schemas.dmtf.org/ovf/envelope/1"',
  'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"',
  'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"',
  'xmlns:vmw="http://www.vmware.com/schema/ovf"',
  'xmlns:vbox="http://www.virtualbox.org/ovf/machine"',
].join(" ")

function item(type: number, members: Readonly<Record<string, string | number>>, configuration = ""): string {
  const all = Object.entries({ ...members, ResourceType: type })
  const inner = all.map(([name, value]) => `<rasd:${name}>${value}</rasd:${name}>`).join("")
  return `<Item${configuration && ` ovf:configuration="${configuration}"`}>${inner}</Item>`
}

/** A machine with one disk, `disk.vmdk`, and nothing that a machine needs not have. */
export function smallOvf(file = '<File ovf:id="f1" ovf:href="disk.vmdk"/>', firmware = ""): string {
  return `<?xml version="1.0"?>
<Envelope ${NAMES}><References>${file}</References>
<DiskSection><Info/><Disk ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
<VirtualSystem ovf:id="vm"><Info/><VirtualHardwareSection><Info/>
${item(17, { InstanceID: 1, HostResource: "ovf:/disk/d1" })}
</VirtualHardwareSection>${firmware}</VirtualSystem></Envelope>`
}

/** What VirtualBox says of a machine that boots by UEFI. */
export const VIRTUALBOX_UEFI =
  '<vbox:Machine ovf:required="false"><Hardware><Firmware type="EFI"/></Hardware></vbox:Machine>'

/** Three disks at two controllers, the first of which is not the first in the text; two configurations; UEFI. */
export function largeOvf(): string {
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
${item(3, { InstanceID: 1, VirtualQuantity: 8 }, "large")}
${item(3, { InstanceID: 1, VirtualQuantity: 2 }, "small")}
${item(4, { InstanceID: 2, VirtualQuantity: 1536, AllocationUnits: "byte * 2^20" })}
${item(20, { InstanceID: 3 })}${item(6, { InstanceID: 4 })}
${item(17, { InstanceID: 5, Parent: 4, AddressOnParent: 0, HostResource: "/disk/d3" })}
${item(17, { InstanceID: 6, Parent: 3, AddressOnParent: 1, HostResource: "ovf:/disk/d2" })}
${item(17, { InstanceID: 7, Parent: 3, AddressOnParent: 0, HostResource: "ovf:/disk/d1" })}
${item(15, { InstanceID: 8, HostResource: "ovf:/file/cd" })}
<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
</VirtualHardwareSection></VirtualSystem></Envelope>`
}

export interface OvaParts {
  readonly ovf: string
  /** By their names in the archive. */
  readonly files: Readonly<Record<string, Buffer>>
  /** Lines of `vm.mf`. */
  readonly mf?: string
}

export function ovaOf({ ovf, files, mf }: OvaParts): Buffer {
  const rest = Object.entries(files).map(([name, content]) => ({ name, content }))
  const sums = mf === undefined ? [] : [{ name: "vm.mf", content: mf }]
  return archiveOf([{ name: "vm.ovf", content: ovf }, ...sums, ...rest])
}

/** The lines of checksums of these files. */
export function checksums(algorithm: string, files: Readonly<Record<string, Buffer | string>>): string {
  const hash = (bytes: Buffer | string) => createHash(algorithm.toLowerCase()).update(bytes).digest("hex")
  const lines = Object.entries(files).map(([name, bytes]) => `${algorithm}(${name})= ${hash(bytes)}\n`)
  return lines.join("")
}
