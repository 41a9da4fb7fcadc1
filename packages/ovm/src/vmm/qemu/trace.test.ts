import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { Bench } from "../bench.testing.ts"
import { endStray } from "../process/stray.ts"
import { QMP_SOCKET } from "./qmp.ts"
import { TRACE_FILE, tracedReason } from "./trace.ts"

// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const root = mkdtempSync(join(tmpdir(), "ovm-trace-"))
afterAll(() => rmSync(root, { recursive: true }))

const FIRMWARE = "load_file name bios-256k.bin location /usr/share/seabios/bios-256k.bin\n"
const request = (cause: number) => `qemu_system_shutdown_request reason=${cause}\n`

describe("what the files of a QEMU that has ended say", () => {
  test.each([
    ["a power-off", [FIRMWARE + request(6)], 0, "guest-shutdown"],
    ["quit", [FIRMWARE + request(2)], 0, "quit"],
    ["a reset that a later QEMU may trace", [FIRMWARE + request(7)], 0, "guest-reset"],
    ["the last request counts", [FIRMWARE + request(6) + request(2)], 0, "quit"],
    ["a cause of another QEMU", [FIRMWARE + request(99)], 0, "ended"],
    ["no request and no signal", [FIRMWARE], 0, "guest-reset"],
    ["a signal", [FIRMWARE, "qemu: terminating on signal 15 from pid 1 (init)\n"], 0, "signal"],
    ["an unknown event", [FIRMWARE, "'qemu_system_shutdown_request' does not exist"], 0, "ended"],
    ["nothing is traced", [""], 0, "ended"],
    ["no file", [], 0, "ended"],
    ["no line of its own", [`${FIRMWARE}x${request(6)}`], 0, "guest-reset"],
    ["more than is read", [FIRMWARE + "x\n".repeat(1 << 20) + request(6)], 0, "guest-shutdown"],
    ["a failure", [FIRMWARE + request(6)], 1, "failed"],
    ["killed", [FIRMWARE], 137, "signal"],
    ["no status", [FIRMWARE + request(6)], undefined, "lost"],
  ])("%s", async (_, [trace, stderr = ""], status, reason) => {
    const directory = mkdtempSync(join(root, "one-"))
    if (trace !== undefined) writeFileSync(join(directory, TRACE_FILE), trace)
    writeFileSync(join(directory, "stderr"), stderr)
    expect(await tracedReason({ directory }, status)).toBe(reason)
  })

  test("a folder in its place", async () => {
    const directory = mkdtempSync(join(root, "one-"))
    mkdirSync(join(directory, TRACE_FILE))
    expect(await tracedReason({ directory }, 0)).toBe("ended")
  })
})

describe.skipIf(guestMissing !== "")(`machines that end while nobody listens ${guestMissing}`, () => {
  // OVMS-STA-013, OVMS-STA-031
  test.each([
    ["tick_ms=1 ticks=1 off=1", "guest-shutdown", undefined],
    ["tick_ms=1 ticks=1", "guest-reset", undefined],
    ["tick_ms=1 ticks=1 fault=1", "guest-reset", undefined],
    ["tick_ms=10", "quit", "quit"],
    ["tick_ms=10", "guest-reset", "system_reset"],
    ["tick_ms=10", "signal", "SIGTERM"],
  ] as const)("%s: %s", async (args, reason, by) => {
    const under = { module: join(import.meta.dir, "index.ts"), factory: "qemu", missing: "", snapshots: true }
    const bench = new Bench(mkdtempSync(join(root, "bench-")), under)
    await bench.open(await buildGuest())
    try {
      const record = await bench.launchElsewhere(bench.planOf(args))
      if (by === "SIGTERM") process.kill(record.pid, by)
      else if (by) await tell(record.directory, by)
      const gone = { is: ({ length }: readonly unknown[]) => length === 0 }
      await until("it has ended", () => processesIn(record.directory), gone)
      const machine = await bench.vmm.adopt(record)
      expect(await machine.exited).toMatchObject({ status: 0, reason })
      expect(statSync(join(record.directory, TRACE_FILE)).size).toBeLessThan(4096)
    } finally {
      await Promise.all(bench.folders.map(endStray))
    }
  })
})

/** Somebody else's command on its monitor. */
async function tell(directory: string, command: string): Promise<void> {
  const closed = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    unix: join(directory, QMP_SOCKET),
    socket: { data: () => {}, close: () => closed.resolve(), error: () => closed.resolve() },
  })
  socket.write(`{"execute":"qmp_capabilities"}{"execute":"${command}"}`)
  await closed.promise
}
