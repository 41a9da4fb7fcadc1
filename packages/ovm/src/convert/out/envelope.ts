import type { MachineOut } from "./machine.ts"
import { element, escaped } from "./xml.ts"

const NAMESPACES = {
  xmlns: "http://schemas.dmtf.org/ovf/envelope/1",
  "xmlns:ovf": "http://schemas.dmtf.org/ovf/envelope/1",
  "xmlns:rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
  "xmlns:vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
  "xmlns:vmw": "http://www.vmware.com/schema/ovf",
}
/** What VMware's and VirtualBox's both know. */
const [SYSTEM, CONTROLLER, ADAPTER] = ["vmx-10", "lsilogic", "E1000"]
const DISK_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
const MIB = 2 ** 20
/** Of a controller, the place that is the controller's own. */
const OWN_PLACE = 7

/** A disk as the descriptor has it: in a file of the package, or empty. */
export interface OvfDiskOut {
  /** As a guest sees it. */
  readonly bytes: number
  readonly file?: { readonly name: string; readonly size: number }
}

/** The descriptor of a package (DSP0243 1.1). */
export function ovfOf(machine: MachineOut, disks: readonly OvfDiskOut[]): string {
  const { name, firmware } = machine
  const files = disks.flatMap(({ file }, at) =>
    file ? [element("File", { "ovf:id": `file${at}`, "ovf:href": file.name, "ovf:size": file.size })] : [],
  )
  const described = disks.map(({ bytes, file }, at) =>
    element("Disk", {
      "ovf:diskId": `disk${at}`,
      "ovf:capacity": bytes,
      "ovf:capacityAllocationUnits": "byte",
      "ovf:format": DISK_FORMAT,
      ...(file && { "ovf:fileRef": `file${at}` }),
    }),
  )
  const hardware = element(
    "VirtualHardwareSection",
    {},
    info("Virtual hardware"),
    element(
      "System",
      {},
      ...settings("vssd", {
        ElementName: "Virtual Hardware Family",
        InstanceID: 0,
        VirtualSystemIdentifier: name,
        VirtualSystemType: SYSTEM,
      }),
    ),
    ...itemsOf(machine),
    element("vmw:Config", {
      "ovf:required": "false",
      "vmw:key": "firmware",
      "vmw:value": firmware === "uefi" ? "efi" : "bios",
    }),
  )
  const networks =
    machine.network === "none" ? [] : [element("Network", { "ovf:name": "nat" }, description("Outbound"))]
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element(
    "Envelope",
    NAMESPACES,
    element("References", {}, ...files),
    element("DiskSection", {}, info("Virtual disks"), ...described),
    ...networks.map((one) => element("NetworkSection", {}, info("Networks"), one)),
    element("VirtualSystem", { "ovf:id": name }, info("A virtual machine"), hardware),
  )}`
}

function itemsOf({ vcpus, memory, network, disks }: MachineOut): readonly string[] {
  const drives = disks.map((_, at) =>
    item({
      AddressOnParent: at < OWN_PLACE ? at : at + 1,
      ElementName: `Disk ${at}`,
      HostResource: `ovf:/disk/disk${at}`,
      InstanceID: 10 + at,
      Parent: 3,
      ResourceType: 17,
    }),
  )
  const link = item({
    AutomaticAllocation: "true",
    Connection: "nat",
    ElementName: "Network adapter",
    InstanceID: 4,
    ResourceSubType: ADAPTER,
    ResourceType: 10,
  })
  return [
    item({ ElementName: `${vcpus} virtual CPUs`, InstanceID: 1, ResourceType: 3, VirtualQuantity: vcpus }),
    item({
      AllocationUnits: "byte * 2^20",
      ElementName: "Memory",
      InstanceID: 2,
      ResourceType: 4,
      VirtualQuantity: Math.ceil(memory / MIB),
    }),
    item({ ElementName: "SCSI controller", InstanceID: 3, ResourceSubType: CONTROLLER, ResourceType: 6 }),
    ...(network === "none" ? [] : [link]),
    ...drives,
  ]
}

function item(members: Readonly<Record<string, string | number>>): string {
  return element("Item", {}, ...settings("rasd", members))
}

function settings(prefix: string, members: Readonly<Record<string, string | number>>): readonly string[] {
  return Object.entries(members).map(([name, value]) => element(`${prefix}:${name}`, {}, escaped(`${value}`)))
}

function info(text: string): string {
  return element("Info", {}, text)
}

function description(text: string): string {
  return element("Description", {}, text)
}
