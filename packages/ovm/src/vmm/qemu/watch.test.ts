import { expect, test } from "bun:test"
import { GuestWatch } from "./watch.ts"

/** QEMU's events, as it sends them. */
function watching() {
  const watch = new GuestWatch()
  const told: string[] = []
  watch.changed = () => told.push(watch.guest.reason ?? String(watch.guest.running))
  const event = (event: string, data = {}) => watch.onEvent({ event, data })
  return { watch, told, event }
}

// OVMS-STA-033, OVMS-STA-034
test("a guest stands still for the reason of the last failure since it ran", () => {
  const { watch, told, event } = watching()
  event("RESUME")
  const failed = { action: "stop", operation: "write", nospace: false, reason: "Input/output error" }
  event("BLOCK_IO_ERROR", failed)
  event("STOP")
  expect(watch.guest).toMatchObject({ reason: "io-error", message: "write: Input/output error" })
  event("RESUME")
  event("STOP")
  event("RESUME")
  for (const reason of ["Disk quota exceeded", "File too large"]) {
    event("BLOCK_IO_ERROR", { ...failed, reason })
    event("STOP")
    expect(watch.guest).toMatchObject({ reason: "disk-full", message: `write: ${reason}` })
    event("RESUME")
  }
  // Told to the guest, which goes on.
  event("BLOCK_IO_ERROR", { ...failed, action: "report" })
  event("STOP")
  expect(told.slice(1)).toEqual([
    "io-error",
    "true",
    "request",
    "true",
    "disk-full",
    "true",
    "disk-full",
    "true",
    "request",
  ])
})

// OVMS-STA-035
test("what QEMU answers to who was not there", () => {
  for (const [status, io, guest] of [
    ["running", undefined, { running: true }],
    ["paused", undefined, { running: false, reason: "request" }],
    ["io-error", "nospace", { running: false, reason: "disk-full" }],
    ["io-error", "failed", { running: false, reason: "io-error" }],
    ["watchdog", undefined, { running: false, reason: "request" }],
  ] as const) {
    const { watch } = watching()
    watch.found(status, io)
    expect([status, watch.guest]).toEqual([status, guest])
    expect(watch.hopeless).toBe(false)
  }
})

// OVMS-STA-030
test("a guest that cannot go on is told apart, whatever status the VMM ends with", () => {
  for (const [status, reason] of [
    ["guest-panicked", "guest-panic"],
    ["internal-error", "internal-error"],
  ] as const) {
    const { watch, event } = watching()
    watch.found(status)
    event("SHUTDOWN", { reason: "host-qmp-quit" })
    expect([watch.hopeless, watch.reason(0), watch.reason(137), watch.reason(undefined)]).toEqual([
      true,
      reason,
      reason,
      reason,
    ])
  }
})
