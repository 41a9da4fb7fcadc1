import { cpus } from "node:os"

/** How much the processors of this host have to do. */
export class Idle {
  private before = timesOf()

  /** The part of all their time since the last look, or since this was made, that was nobody's: 0 to 1. */
  share(): number {
    const { before } = this
    const now = timesOf()
    this.before = now
    return (now.idle - before.idle) / Math.max(now.all - before.all, 1)
  }
}

/** Of all processors since the host was started, in ms. */
function timesOf(): { readonly idle: number; readonly all: number } {
  const times = cpus().map((processor) => processor.times)
  const sum = (figures: readonly number[]) => figures.reduce((total, one) => total + one, 0)
  return { idle: sum(times.map(({ idle }) => idle)), all: sum(times.flatMap((one) => Object.values(one))) }
}
