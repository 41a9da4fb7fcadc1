import { Moving } from "./moving.ts"
import type { Order, Report } from "./protocol.ts"

// The other side of threads.ts.

declare const self: Worker

let moving: Moving | undefined

self.onmessage = async ({ data: order }: MessageEvent<Order>) => {
  if (order === "cancel") return moving?.end({ kind: "cancelled" })
  moving = new Moving(order, tell)
  const outcome = await moving.outcome()
  moving = undefined
  tell(outcome)
}

function tell(report: Report): void {
  postMessage(report)
}
