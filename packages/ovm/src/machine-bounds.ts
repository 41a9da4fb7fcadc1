/** What a machine may have, memory in bytes (OVMS-MAN-061, OVMS-MAN-062). */
export const MACHINE_BOUNDS = {
  vcpus: { from: 1, to: 255 },
  memory: { from: 2 ** 20, to: 2 ** 44, step: 2 ** 20 },
} as const
