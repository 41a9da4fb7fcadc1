import { quantityOf } from "../oci/quantity.ts"
import { at, vmOf } from "../oci/vm-object.ts"
import type { MachineOut } from "./machine.ts"

type Members = Readonly<Record<string, unknown>>

/** The VirtualMachine of KubeVirt's that is most like `machine`. It is not run until somebody says so. */
export function virtualMachine(machine: MachineOut): Members {
  const { name, architecture, disks, vcpus, memory, network, secureBoot, tpm } = machine
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
            firmware: bootloader(machine),
            // Which it wants for Secure Boot.
            ...(secureBoot && { features: { smm: { enabled: true } } }),
            devices: {
              disks: disks.map(({ name, readOnly }, index) => ({
                name,
                disk: { bus: "virtio", ...(readOnly && { readonly: true }) },
                ...(index === 0 && { bootOrder: 1 }),
              })),
              ...(network === "none"
                ? { autoattachPodInterface: false }
                : { interfaces: [{ name: "default", masquerade: {} }] }),
              ...(tpm && { tpm: { persistent: true } }),
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
export function updated(vm: Members, machine: MachineOut): Members {
  const { name, vcpus, memory, firmware } = machine
  const { said } = vmOf(vm, name)
  const path = ["spec", "template", "spec", "domain"]
  const domain = at(vm, ...path)
  const changes = {
    ...(said.vcpus !== undefined &&
      said.vcpus !== vcpus && { cpu: { ...at(domain, "cpu"), cores: vcpus, sockets: 1, threads: 1 } }),
    ...(said.memory !== undefined &&
      said.memory !== memory && { memory: { ...at(domain, "memory"), guest: quantityOf(memory) } }),
    ...(said.firmware !== undefined &&
      said.firmware !== firmware && { firmware: { ...at(domain, "firmware"), ...bootloader(machine) } }),
  }
  return Object.keys(changes).length === 0 ? vm : changed(vm, path, changes)
}

/** `value` with `changes` to the object at the end of `path`. */
function changed(value: Members, [first, ...rest]: readonly string[], changes: Members): Members {
  if (first === undefined) return { ...value, ...changes }
  return { ...value, [first]: changed(at(value, first), rest, changes) }
}

function bootloader({ firmware, secureBoot = false }: MachineOut): Members {
  return { bootloader: firmware === "uefi" ? { efi: { secureBoot } } : { bios: {} } }
}
