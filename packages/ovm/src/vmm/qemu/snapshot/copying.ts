import type { MachineRecord } from "../../machine.ts"

/** For how long the guest may stand still for the last pages, and for how long there may be more of them, in ms. */
interface Step {
  readonly downtime: number
  readonly within: number
}

/** How RAM is copied. */
export interface Copying {
  /** The guest stands still before the first page is copied. */
  readonly stopped: boolean
  /** One after the other, until no more is left than the guest may stand still for. */
  readonly steps: readonly [Step, ...Step[]]
}

/** A guest may write to its memory faster than it is copied: then its pause becomes longer, so that there is an end. */
const REPEATED: Copying = {
  stopped: false,
  steps: [
    { downtime: 30, within: 2000 },
    { downtime: 300, within: 8000 },
    { downtime: 10_000, within: 60_000 },
  ],
}
const ONCE_MS = 70_000
const ONCE: Copying = { stopped: false, steps: [{ downtime: 0, within: ONCE_MS }] }
const STOPPED: Copying = { ...ONCE, stopped: true }

/**
 * How the RAM of a machine is copied whole. Emulation before QEMU 9.0 does not notice all that a guest writes after its
 * pages were looked at for the second time while it runs: those went into snapshots as they had been before. With no
 * downtime granted, 7.2 looks once as it begins and once the guest stands still; of 8 that is not known, so there the
 * guest stands still throughout (docs/design/0014-qemu-snapshots.md).
 */
export function copyingOf({ accelerator, version }: Pick<MachineRecord, "accelerator" | "version">): Copying {
  const major = Number.parseInt(version, 10)
  if (accelerator !== "tcg" || major >= 9) return REPEATED
  return major === 7 ? ONCE : STOPPED
}
