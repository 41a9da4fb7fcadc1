import { type InPlace, resourcesFault } from "../resources.ts"
import type { SaidOfMachine } from "../taken.ts"
import { bytesInUnit } from "./units.ts"
import { childrenOf, childText, type Element } from "./xml.ts"

/** CIM_ResourceAllocationSettingData.ResourceType. */
const TYPES = { processor: 3, memory: 4, ethernet: 10, cd: 15, dvd: 16, disk: 17 } as const
/** Elements that have it; OVF 2 has some of their own. */
const ITEMS = ["Item", "StorageItem", "EthernetPortItem"]
const LEFT: Readonly<Record<number, string>> = { [TYPES.cd]: "a CD-ROM", [TYPES.dvd]: "a CD-ROM" }

export interface Hardware {
  readonly said: SaidOfMachine
  /** Ids of disks, in the order in which they are attached. */
  readonly drives: readonly string[]
  readonly left: readonly string[]
}

/** Reads the hardware of a machine, without what is for another configuration than the one of that id. */
export function hardwareOf(system: Element, configuration: string | undefined, inPlace?: InPlace): Hardware {
  const section = childrenOf(system, "VirtualHardwareSection")[0]
  const items = section ? childrenOf(section, ...ITEMS).filter((item) => isFor(item, configuration)) : []
  const ofType = (type: number) => items.filter((item) => typeOf(item) === type)
  const count = (type: number) => ofType(type).map(quantityOf).at(-1)
  const [vcpus, quantity] = [count(TYPES.processor), count(TYPES.memory)]
  const memoryItem = ofType(TYPES.memory).at(-1)
  const unit = (memoryItem && childText(memoryItem, "AllocationUnits")) || "byte * 2^20"
  const bytes = bytesInUnit(unit)
  if (quantity !== undefined && bytes === undefined)
    throw new Error(`its memory is in ${JSON.stringify(unit)}, which is not known`)
  const resources = {
    ...(vcpus !== undefined && { vcpus }),
    ...(quantity !== undefined && bytes !== undefined && { memory: quantity * bytes }),
  }
  const fault = resourcesFault(resources, inPlace)
  if (fault) {
    const { of, why } = fault
    const type = of === "vcpus" ? TYPES.processor : TYPES.memory
    throw new Error(`the VirtualQuantity of its Item of ResourceType ${type} is ${why}`)
  }
  const interfaces = ofType(TYPES.ethernet).length
  const firmware = firmwareOf(system, section)
  return {
    said: {
      ...resources,
      ...(section && { network: interfaces > 0 ? ("user" as const) : ("none" as const) }),
      ...(firmware && { firmware }),
    },
    drives: drivesOf(items),
    left: [
      ...items.flatMap((item) => (childText(item, "HostResource") && LEFT[typeOf(item) ?? 0]) || []),
      ...(interfaces > 1 ? [`${interfaces - 1} of ${interfaces} network interfaces`] : []),
    ],
  }
}

function isFor({ attributes }: Element, configuration: string | undefined): boolean {
  const wanted = attributes.configuration?.split(/\s+/).filter((one) => one !== "") ?? []
  return wanted.length === 0 || (configuration !== undefined && wanted.includes(configuration))
}

function typeOf(item: Element): number | undefined {
  return number(item, "ResourceType")
}

function number(item: Element, name: string): number | undefined {
  const text = /^\d{1,15}$/.exec(childText(item, name) ?? "")?.[0]
  return text === undefined ? undefined : Number(text)
}

/** One that is there and no number would be another machine. */
function quantityOf(item: Element): number | undefined {
  const text = childText(item, "VirtualQuantity")
  const quantity = number(item, "VirtualQuantity")
  if (text && quantity === undefined)
    throw new Error(
      `a VirtualQuantity of its hardware is ${JSON.stringify(text.slice(0, 80))}, and no number`,
    )
  return quantity
}

/** By controller, as these come, then by the place there, then as they come. */
function drivesOf(items: readonly Element[]): readonly string[] {
  const controllers = items.map((item) => childText(item, "InstanceID"))
  const place = (item: Element) => {
    const parent = childText(item, "Parent")
    const controller = parent === undefined ? -1 : controllers.indexOf(parent)
    return [controller < 0 ? items.length : controller, number(item, "AddressOnParent") ?? 0] as const
  }
  return items
    .filter((item) => typeOf(item) === TYPES.disk)
    .map((item) => ({ at: place(item), from: childText(item, "HostResource") ?? "" }))
    .toSorted((one, other) => one.at[0] - other.at[0] || one.at[1] - other.at[1])
    .map(({ from }) => {
      const id = /^(?:ovf:)?\/disk\/(.+)$/.exec(from)?.[1]
      if (id === undefined)
        throw new Error(`it attaches ${JSON.stringify(from)}, which is no disk of its own`)
      return id
    })
}

/** Nothing in the standard says it: VMware's `firmware`, and VirtualBox's `Firmware`. */
function firmwareOf(system: Element, section: Element | undefined): "bios" | "uefi" | undefined {
  const said = section && childrenOf(section, "Config", "ExtraConfig")
  const vmware = said?.find(({ attributes }) => attributes.key === "firmware")?.attributes.value
  const machine = childrenOf(system, "Machine")[0]
  const places = machine ? [machine, ...childrenOf(machine, "Hardware")] : []
  const virtualbox = places.flatMap((one) => childrenOf(one, "Firmware"))[0]?.attributes.type
  const name = (vmware ?? virtualbox)?.toLowerCase()
  if (name === undefined) return undefined
  return name.startsWith("efi") ? "uefi" : "bios"
}
