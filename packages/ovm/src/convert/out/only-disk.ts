import type { ChainFile } from "../../disk/chain-reader.ts"
import { OvmError } from "../../errors.ts"
import type { MachineOut } from "./machine.ts"

/** The layers of its one disk. Throws OVM_UNSUPPORTED where it has further ones (OVMS-IMP-021). */
export function onlyDisk({ name, disks }: MachineOut): readonly ChainFile[] {
  const [first, ...others] = disks
  if (others.length > 0) {
    const what = `has further disks: ${others.map((one) => one.name).join(", ")}`
    throw new OvmError("OVM_UNSUPPORTED", `${name} ${what}, for which this form has no place`, {
      detail: [{ pointer: "/disks", reason: what }],
    })
  }
  return first && "layers" in first ? first.layers : []
}
