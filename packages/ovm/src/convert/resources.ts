import { MACHINE_BOUNDS } from "../machine-bounds.ts"
import type { SaidOfMachine } from "./taken.ts"

const { vcpus: VCPUS, memory: MEMORY } = MACHINE_BOUNDS

/** What the user says in place of a source: of that it does not matter what the source says. */
export type InPlace = Pick<SaidOfMachine, "vcpus" | "memory">

/** Why a machine cannot have what its source says of virtual CPUs or memory, and which of them; undefined if it can. */
export function resourcesFault(
  { vcpus = VCPUS.from, memory = MEMORY.from }: InPlace,
  inPlace: InPlace = {},
): { readonly of: keyof InPlace; readonly why: string } | undefined {
  if (inPlace.vcpus === undefined && !(Number.isInteger(vcpus) && vcpus >= VCPUS.from && vcpus <= VCPUS.to))
    return {
      of: "vcpus",
      why: `${vcpus} virtual CPUs, and a machine has ${VCPUS.from} to ${VCPUS.to} (--cpus)`,
    }
  const fits = memory >= MEMORY.from && memory <= MEMORY.to && memory % MEMORY.step === 0
  if (inPlace.memory === undefined && !fits)
    return { of: "memory", why: `${memory} bytes, and memory is whole MiB, from 1 MiB to 16 TiB (--memory)` }
  return undefined
}
