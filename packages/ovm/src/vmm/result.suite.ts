import { expect, test } from "bun:test"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import type { Bench } from "./bench.testing.ts"

/** What a guest hands back by a port, and ends its machine with. */
export function resultSuite(bench: Bench): void {
  // OVMS-STA-047, OVMS-GST-053. 69 is what a VMM that a signal ended would leave as well, if its keeper did not tell.
  test.each([1, 69, 127])("a guest hands back the result %d", async (result) => {
    const machine = await bench.vmm.launch(bench.planOf(`tick_ms=1 ticks=1 result=${result}`))
    expect(await machine.exited).toEqual({ status: result, reason: "result" })
    // A VMM may let its guest go on for a moment.
    expect(await bench.until(machine)).toContain("GUEST-RESULT\r\n")
    expect(await machine.stop()).toBe("already")
  })

  // OVMS-STA-047
  test("a result that was handed back while nobody looked is found", async () => {
    const record = await bench.launchElsewhere(bench.planOf("tick_ms=1 ticks=1 result=100"))
    await until("its processes are gone", () => processesIn(record.directory), {
      is: ({ length }) => length === 0,
    })
    expect(await (await bench.vmm.adopt(record)).exited).toEqual({ status: 100, reason: "result" })
  })

  test("what is no result is not taken for one", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=1 ticks=1 result=0"))
    expect(await machine.exited).toMatchObject({ reason: "failed" })
  })
}
