import { quantityOf } from "../oci/quantity.ts"
import { at, vmOf } from "../oci/vm-object.ts"
import type { MachineOut } from "./machine.ts"

type Members = Readonly<Record<string, unknown>>

/** The VirtualMachine of KubeVirt's that is most like `machine`. It is not run until somebody says so. */
export function virtualMachine({
  name,
  architecture,
  disks,
  vcpus,
  memory,
  firmware,
  network,
}: MachineOut): Members {
  return {
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachine",
    metadata: { name },
    spec: {
      runStrategy: "Halted",
      template: {
        spec: {
          architecture,
          domain: {
            cpu: { cores: vcpus },
            memory: { guest: quantityOf(memory) },
            firmware: bootloader(firmware),
            devices: {
              disks: disks.map(({ name, readOnly }, index) => ({
                name,
                disk: { bus: "virtio", ...(readOnly && { readonly: true }) },
                ...(index === 0 && { bootOrder: 1 }),
              })),
              ...(network === "none"
                ? { autoattachPodInterface: false }
                : { interfaces: [{ name: "default", masquerade: {} }] }),
            },
          },
          ...(network === "user" && { networks: [{ name: "default", pod: {} }] }),
          volumes: disks.map((disk) => ({
            name: disk.name,
            persistentVolumeClaim: { claimName: `${name}-${disk.name}` },
          })),
        },
      },
    },
  }
}

/** The VirtualMachine that a machine was, where what it says of CPUs, memory and firmware is no more what that has. */
export function updated(vm: Members, { name, vcpus, memory, firmware }: MachineOut): Members {
  const { said } = vmOf(vm, name)
  const path = ["spec", "template", "spec", "domain"]
  const domain = at(vm, ...path)
  const changes = {
    ...(said.vcpus !== undefined &&
      said.vcpus !== vcpus && { cpu: { ...at(domain, "cpu"), cores: vcpus, sockets: 1, threads: 1 } }),
    ...(said.memory !== undefined &&
      said.memory !== memory && { memory: { ...at(domain, "memory"), guest: quantityOf(memory) } }),
    ...(said.firmware !== undefined &&
      said.firmware !== firmware && { firmware: { ...at(domain, "firmware"), ...bootloader(firmware) } }),
  }
  return Object.keys(changes).length === 0 ? vm : changed(vm, path, changes)
}

/** `value` with `changes` to the object at the end of `path`. */
function changed(value: Members, [first, ...rest]: readonly string[], changes: Members): Members {
  if (first === undefined) return { ...value, ...changes }
  return { ...value, [first]: changed(at(value, first), rest, changes) }
}

function bootloader(firmware: "bios" | "uefi"): Members {
  return { bootloader: firmware === "uefi" ? { efi: { secureBoot: false } } : { bios: {} } }
}
