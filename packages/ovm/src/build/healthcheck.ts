import { Wrong } from "./faults.ts"
import type { MachineSettings } from "./settings.ts"

/** By the flag: what image-spec calls it. */
const TIMES = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
} as const
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

type Healthcheck = NonNullable<MachineSettings["Healthcheck"]>

/** `commandIn` makes a test of what stands behind CMD. Throws Wrong. */
export function healthcheckOf(
  rest: string,
  flags: ReadonlyMap<string, string>,
  commandIn: (text: string) => readonly string[],
): Healthcheck {
  if (/^none$/i.test(rest)) return { Test: ["NONE"] }
  const [, command] = /^cmd\s+(.+)$/is.exec(rest) ?? []
  if (command === undefined) throw new Wrong("HEALTHCHECK is `HEALTHCHECK NONE` or `HEALTHCHECK CMD …`")
  const times: Record<string, number> = {}
  for (const [flag, name] of Object.entries(TIMES)) {
    const text = flags.get(flag)
    if (text !== undefined) times[name] = timeOf(flag, text)
  }
  const retries = flags.get("retries")
  if (retries !== undefined && !/^\d{1,4}$/.test(retries))
    throw new Wrong(`--retries=${retries} is no number`)
  return { Test: commandIn(command), ...times, ...(retries !== undefined && { Retries: Number(retries) }) }
}

/** In ns. */
function timeOf(flag: string, text: string): number {
  if (!/^(\d+(\.\d+)?(ns|us|ms|s|m|h))+$/.test(text))
    throw new Wrong(`--${flag}=${text} is no time, such as 30s`)
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)
  return [...parts].reduce(
    (sum, [, count, unit = "s"]) => sum + Math.round(Number(count) * (UNITS[unit] ?? 0)),
    0,
  )
}
