import type { Command } from "commander"
import { OvmError } from "../errors.ts"
import { parseCount } from "./size.ts"

/** Which part of a console is meant. */
export interface RangeOptions {
  readonly tail?: number
  readonly since?: string
}

export function defineRange(command: Command): Command {
  return command
    .addOption(
      command
        .createOption("-n, --tail <lines>", "only so many lines of what there is")
        .argParser((text) => parseCount(text, "--tail", 0)),
    )
    .addOption(
      command
        .createOption(
          "--since <time>",
          "only what came then or later: 90s, 10m, 2h or 1d ago, or a time in RFC 3339",
        )
        .argParser(parseSince),
    )
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** How long ago, such as 90s, 10m, 2h or 1d, or a time in RFC 3339; as the latter. Throws OVM_USAGE. */
function parseSince(text: string): string {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const ms = count === undefined ? Date.parse(text) : Date.now() - Number(count) * (UNITS[unit] ?? 0)
  if (!Number.isNaN(ms) && Math.abs(ms) < MOST_MS) return new Date(ms).toISOString()
  throw new OvmError("OVM_USAGE", `--since: ${JSON.stringify(text.slice(0, 40))} is no time`, {
    hint: "how long ago, such as 90s, 10m, 2h or 1d; or a time such as 2026-11-26T15:04:05Z",
  })
}

/** Year 9999. */
const MOST_MS = 253_402_300_799_000
