import type { Verdict } from "../interfaces.ts"
import type { PolicySubject } from "./decision.ts"

const HOUR = 3_600_000
/** Clocks differ: a time that lies up to so many ms in the future is still believed. */
const SKEW = 5 * 60_000

export interface Age {
  readonly holds: boolean
  readonly reason: string
  /** When it will be too old, in ms since 1970. */
  readonly expires: number
}

/**
 * OVMS-POL-060, OVMS-POL-061: by the signatures that count, else by what the artifact says. `now` in ms since 1970.
 * Pure.
 */
export function ageOf(subject: PolicySubject, counting: readonly Verdict[], hours: number, now: number): Age {
  const signed = counting.flatMap(({ signedAt }) => (signedAt === undefined ? [] : Date.parse(signedAt)))
  const [time, what] = signed.length > 0 ? [Math.max(...signed), "signed"] : [said(subject), "made"]
  if (Number.isNaN(time)) return { holds: false, reason: "nothing says when it was made", expires: 0 }
  const at = new Date(time).toISOString()
  if (time > now + SKEW)
    return { holds: false, reason: `it was ${what} at ${at}, which is yet to come`, expires: 0 }
  const expires = time + hours * HOUR
  if (expires > now) return { holds: true, reason: `it was ${what} at ${at}`, expires }
  const old = Math.floor((now - time) / HOUR)
  return {
    holds: false,
    reason: `it was ${what} at ${at}, ${old} hours ago; ${hours} are allowed`,
    expires: 0,
  }
}

function said({ created }: PolicySubject): number {
  return created === undefined ? Number.NaN : Date.parse(created)
}
