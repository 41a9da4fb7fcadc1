import { OvmError } from "../../../errors.ts"

// QEMU's migration format, version 3, as far as a snapshot has it. QEMU: migration/savevm.h, migration/savevm.c,
// migration/ram.c.

export const MAGIC = 0x5145564d // "QEVM"
export const STREAM_VERSION = 3

/** Types of what comes at the top level (migration/savevm.h). */
export const Section = {
  EOF: 0x00,
  START: 0x01,
  PART: 0x02,
  END: 0x03,
  FULL: 0x04,
  SUBSECTION: 0x05,
  DESCRIPTION: 0x06,
  CONFIGURATION: 0x07,
  COMMAND: 0x08,
  FOOTER: 0x7e,
} as const

/**
 * The one command that a stream may have, from QEMU 10.0 on: that the guest stands still from here on, in no bytes of
 * its own (migration/savevm.c, qemu_savevm_send_switchover_start).
 */
export const SWITCHOVER_START = { command: 11, length: 0 } as const

/** Flags in the low bits of a RAM record's offset (migration/ram.c). */
export const Ram = { ZERO: 0x02, MEM_SIZE: 0x04, PAGE: 0x08, EOS: 0x10, CONTINUE: 0x20 } as const

export const PAGE_BITS = 12
export const PAGE = 2 ** PAGE_BITS

/** Version of the section `ram` (migration/ram.c, register_savevm_live). */
export const RAM_VERSION = 4

/** The only capability that a stream may say it needs (migration/savevm.c, should_validate_capability). */
export const IGNORE_SHARED = "x-ignore-shared"

/** Most bytes of everything but the guest's RAM: q35 has 0.6 MiB, some 0.3 MiB of which are ROMs. */
export const MAX_STATE = 64 << 20

export function malformed(at: number, reason: string): OvmError {
  return new OvmError("OVM_VMM_FAILED", `QEMU's migration stream, at byte ${at}: ${reason}`)
}

export const hex = (value: number) => `0x${value.toString(16)}`
