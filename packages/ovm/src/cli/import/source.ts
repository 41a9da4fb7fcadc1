import type { PackSource } from "../../artifact/machine/source.ts"
import type { Digest } from "../../content/digest.ts"
import type { TakenMachine } from "../../convert/taken.ts"

/** What of the machine is asked for, whatever its source says. */
export interface AskedOfImport {
  readonly name: string
  readonly firmware?: "bios" | "uefi"
  /** Bytes. */
  readonly memory?: number
  readonly cpus?: number
  readonly agent?: boolean
}

/** The pack source of a machine that was taken in. */
export function packSourceOf(
  { disk, further, said, annotations }: TakenMachine,
  asked: AskedOfImport,
): PackSource {
  const { name, firmware = said.firmware, memory = said.memory, cpus = said.vcpus, agent } = asked
  const layers = (path: string) => [{ path, format: "qcow2" as const }]
  return {
    schemaVersion: 1,
    name,
    diskLayers: layers(disk.path),
    ...(further.length > 0 && {
      disks: further.map((one) => {
        if (!("disk" in one)) return one
        const { disk, ...others } = one
        return { ...others, layers: layers(disk.path) }
      }),
    }),
    ...(agent && { agent: { protocol: "ovms.agent.v1" } }),
    ...(said.network && { network: [{ mode: said.network }] }),
    ...((memory !== undefined || cpus !== undefined) && {
      resources: { ...(cpus !== undefined && { vcpus: cpus }), ...(memory !== undefined && { memory }) },
    }),
    ...((firmware === "uefi" || said.tpm) && { metadata: { platform: platformOf(firmware, said) } }),
    ...(annotations && { annotations }),
  }
}

/** The files of its disks, which are nobody else's, and their digests. */
export function writtenDisks({ disk, further }: TakenMachine): ReadonlyMap<string, Digest> {
  const all = [disk, ...further.flatMap((one) => ("disk" in one ? [one.disk] : []))]
  return new Map(all.map(({ path, digest }) => [path, digest]))
}

function platformOf(firmware: "bios" | "uefi", { secureBoot, tpm }: TakenMachine["said"]) {
  const uefi = firmware === "uefi"
  return {
    arch: "x86_64" as const,
    ...(uefi && { uefi }),
    ...(uefi && secureBoot && { secureBoot }),
    ...(tpm && { tpm }),
  }
}
