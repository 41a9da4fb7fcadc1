// What clones of one snapshot on Firecracker take of the host's memory, beside as many by hand. `make bench-vmm`, where
// Firecracker can be used.
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { ended, filesOf, loadedByHand, started } from "./firecracker-by-hand.ts"
import { OVM, output, pss, withHome } from "./programs.ts"
import { median } from "./turns.ts"

const CLONES = Number(process.argv[2] ?? 20)
const BOUND = 1.1
/** From the last start until memory is looked at. */
const SETTLE_MS = 3000
const [PLAIN, WARM] = ["localhost/bench/fc:1", "localhost/bench/fc:warm"]

if (!Bun.which("firecracker")) {
  console.log("firecracker is not on PATH: what its clones take is not measured")
  process.exit(0)
}

/** Each counts in its memory, which only what it writes makes its own. */
await withHome(async (env, home) => {
  // As by hand.
  const settings = { defaults: { network: "none" }, jail: false }
  await Bun.write(join(home, "daemon.json"), JSON.stringify(settings))
  await packGuest(join(home, "store"), PLAIN, "tick_ms=100 hlt=1")
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  const source = await started(runtime, PLAIN, { vmm: "firecracker" })
  await runtime.snapshot({ instance_id: source, tag: "warm" })
  await runtime.remove(source, { force: true })
  const files = await filesOf(runtime, home, WARM)

  const ids: string[] = []
  for (let n = 0; n < CLONES; n++) ids.push(await started(runtime, WARM))
  await Bun.sleep(SETTLE_MS)
  const pids = ids.map(async (id) =>
    Number((await readFile(join(home, "instances", id, "pid"), "utf8")).split(" ")[0]),
  )
  const ours = await Promise.all(pids.map(async (pid) => await pss(await pid)))
  for (const id of ids) await runtime.remove(id, { force: true })

  const hand = []
  for (let n = 0; n < CLONES; n++) {
    const one = await loadedByHand(home, files)
    hand.push(one)
    await one.api.ask("PATCH", "/vm", { state: "Resumed" })
  }
  await Bun.sleep(SETTLE_MS)
  const theirs = await Promise.all(hand.map(({ child }) => pss(child.pid ?? 0)))
  await Promise.all(hand.map(ended))
  const ratio = median(ours) / median(theirs)
  const verdict = ratio <= BOUND ? "holds" : "MISSED"
  console.log(
    `PSS of each of ${CLONES} clones on Firecracker: ${median(ours).toFixed(2)} MiB, by hand: ${median(theirs).toFixed(2)} MiB, ratio ${ratio.toFixed(2)} (bound ${BOUND}: ${verdict})`,
  )
})
process.exit(0)
