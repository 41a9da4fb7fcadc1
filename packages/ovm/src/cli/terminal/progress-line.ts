import { formatSize } from "../format.ts"
import { padTo, widthOf } from "./columns.ts"
import { cut } from "./fit.ts"
import type { Meter } from "./meter.ts"

/** One blob or file on its way. Sizes are bytes, times ms. */
export interface Item {
  readonly name: string
  readonly total: number
  readonly began: number
  readonly meter: Meter
  phase: "exists" | "mounted" | "transfer" | "done"
  done: number
  /** When it was there. */
  ended?: number
}

const BAR = 24
/** Shorter than this a bar says nothing. */
const SHORTEST_BAR = 6
/** What was faster than this has no speed worth telling, in ms. */
const NOTICED_MS = 200

/**
 * What there is to say of `item` at the time `now`, in one line of at most `columns`: what was not transferred says
 * so and has no bar; the others how much, how fast and how long still.
 */
export function progressLine(item: Item, now: number, columns: number): string {
  const name = padTo(cut(item.name, nameWidth(columns)), nameWidth(columns))
  if (item.phase === "exists") return cut(`${name} ${formatSize(item.total)}, there already`, columns)
  if (item.phase === "mounted")
    return cut(`${name} ${formatSize(item.total)}, mounted from another repository`, columns)
  const share = item.total === 0 ? 1 : Math.min(1, item.done / item.total)
  const facts = [`${Math.floor(share * 100)}%`, `${formatSize(item.done)} of ${formatSize(item.total)}`]
  facts.push(...pace(item, now))
  const text = facts.join("  ")
  const room = Math.min(BAR, columns - widthOf(name) - widthOf(text) - 2)
  return cut(room < SHORTEST_BAR ? `${name} ${text}` : `${name} ${bar(share, room)} ${text}`, columns)
}

function pace({ phase, meter, total, began, ended }: Item, now: number): string[] {
  if (phase === "done") {
    const took = (ended ?? now) - began
    return took < NOTICED_MS ? [] : [`${formatSize(Math.round((total / took) * 1000))}/s`]
  }
  const [speed, left] = [meter.speed(now), meter.left(total, now)]
  // What goes in one request is not told of before it is there.
  if (speed === undefined || left === undefined)
    return now - began < 1000 ? [] : [`for ${span((now - began) / 1000)}`]
  return [`${formatSize(Math.round(speed))}/s`, `${span(left)} left`]
}

/** `75` → `2 min`. */
function span(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`
}

function nameWidth(columns: number): number {
  return columns < 80 ? 11 : 24
}

function bar(share: number, width: number): string {
  const full = Math.round(share * width)
  return "█".repeat(full) + "░".repeat(width - full)
}
