// `make bench-cycles`.
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { LOOKS, left, reportLeft } from "./left.ts"
import { OVM, output, untilSaid, withHome } from "./programs.ts"

const CYCLES = 300
/** Before them: what is loaded and compiled once is no leak. */
const FIRST = 60

async function cycle(runtime: Runtime): Promise<void> {
  const { instance_id } = await runtime.start({ manifest: "bench:1" })
  const is = async (wanted: string) => {
    for (;;) {
      const { state, error } = await runtime.status(instance_id)
      if (state === wanted) return
      if (state === "failed") throw new Error(`the machine failed: ${error?.message}`)
      await sleep(2)
    }
  }
  await is("running")
  // A guest that still boots does not hear of its power button.
  await untilSaid(await runtime.logs(instance_id, { follow: true }), "TICK")
  await runtime.stop({ instance_id })
  await is("stopped")
  await runtime.remove(instance_id)
}

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), "bench:1", "tick_ms=50 button=1")
  const pid = Number(output([OVM, "daemon", "--detach"], env))
  const runtime = connect(join(home, "ovm.sock"))
  const cycles = async (count: number) => {
    for (let done = 0; done < count; done++) await cycle(runtime)
  }
  const looked = () => left(pid, home, () => cycles(FIRST / LOOKS))
  const before = await looked()
  await cycles(CYCLES)
  reportLeft(`${CYCLES} starts and stops`, before, await looked())
})
