import type { SaidOfMachine } from "./taken.ts"

/** What a machine may have (OVMS-MAN-061, OVMS-MAN-062). */
const MOST_VCPUS = 255
const MEMORY_STEP = 2 ** 20
const MOST_MEMORY = 2 ** 44

/** What the user says in place of a source: of that it does not matter what the source says. */
export type InPlace = Pick<SaidOfMachine, "vcpus" | "memory">

/** Why a machine cannot have what its source says of virtual CPUs or memory, and which of them; undefined if it can. */
export function resourcesFault(
  { vcpus = 1, memory = MEMORY_STEP }: InPlace,
  inPlace: InPlace = {},
): { readonly of: keyof InPlace; readonly why: string } | undefined {
  if (inPlace.vcpus === undefined && !(Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= MOST_VCPUS))
    return { of: "vcpus", why: `${vcpus} virtual CPUs, and a machine has 1 to ${MOST_VCPUS} (--cpus)` }
  const fits = memory >= MEMORY_STEP && memory <= MOST_MEMORY && memory % MEMORY_STEP === 0
  if (inPlace.memory === undefined && !fits)
    return { of: "memory", why: `${memory} bytes, and memory is whole MiB, from 1 MiB to 16 TiB (--memory)` }
  return undefined
}
