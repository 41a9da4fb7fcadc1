// What clones of one snapshot cost: memory and time of each, beside the same command line by hand; and the daemon's
// memory for each. `make bench-restore` runs it after restore.ts.
import { mkdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { connect } from "../packages/ovm/src/api/client.ts"
import { createOverlay } from "../packages/ovm/src/disk/overlay.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { type Loaded, loadByHand } from "./by-hand.ts"
import { MACHINE, OVM, output, pss, untilSaid, withHome } from "./programs.ts"
import { median } from "./turns.ts"

const CLONES = 50
const DISK = 64 << 20
/** From the last start until memory is looked at: all of them run, and none has run long. */
const SETTLE_MS = 5000

const [base, warm] = ["localhost/bench/debian:1", "localhost/bench/debian:warm"]

async function rss(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024
}

async function boot(runtime: Runtime): Promise<string> {
  const { instance_id } = await runtime.start({ manifest: base })
  await untilSaid(await runtime.logs(instance_id, { follow: true }), "OVM-DISK")
  return instance_id
}

async function started(runtime: Runtime): Promise<string> {
  const { instance_id } = await runtime.start({ manifest: warm })
  while ((await runtime.status(instance_id)).state === "starting") await sleep(5)
  return instance_id
}

async function pidOf(home: string, id: string): Promise<number> {
  return Number((await readFile(join(home, "instances", id, "pid"), "utf8")).split(" ")[0])
}

await withHome(async (env, home) => {
  output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", base], env)
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  const source = await boot(runtime)
  await runtime.snapshot({ instance_id: source, tag: "warm" })
  await runtime.remove(source, { force: true })
  const { pid: daemon } = await runtime.info()
  // The first one has all that is loaded once and for all.
  await runtime.remove(await started(runtime), { force: true })
  const before = await rss(daemon)
  const began = performance.now()
  const ids: string[] = []
  for (let n = 0; n < CLONES; n++) ids.push(await started(runtime))
  const took = (performance.now() - began) / CLONES
  await sleep(SETTLE_MS)
  const pids = await Promise.all(ids.map((id) => pidOf(home, id)))
  const ours = median(await Promise.all(pids.map(pss)))
  const each = ((await rss(daemon)) - before) / CLONES
  const argv = (await readFile(`/proc/${pids[0]}/cmdline`, "utf8")).split("\0").slice(0, -1)
  for (const id of ids) await runtime.remove(id, { force: true })

  const original = join(home, "instances", ids[0] ?? "")
  const { snapshot } = JSON.parse(output([OVM, "inspect", "--json", warm], env))
  const state = await readFile(join(home, "store/blobs/sha256", snapshot.state.ref.slice("sha256:".length)))
  const hand: Loaded[] = []
  try {
    const start = performance.now()
    for (let n = 0; n < CLONES; n++) {
      const folder = join(home, `hand-${n}`)
      await mkdir(folder)
      await createOverlay(join(folder, "overlay.qcow2"), DISK)
      hand.push(
        await loadByHand(
          argv.map((word) => word.replaceAll(original, folder)),
          folder,
          state,
        ),
      )
    }
    const tookByHand = (performance.now() - start) / CLONES
    await sleep(SETTLE_MS)
    const theirs = median(await Promise.all(hand.map(({ pid }) => pss(pid))))
    const ratio = ours / theirs
    const verdict = ratio <= 1.1 ? "holds" : "MISSED"
    console.log(
      `${CLONES} clones, PSS of one: ${ours.toFixed(1)} MiB, by hand: ${theirs.toFixed(1)} MiB, ratio ${ratio.toFixed(2)} (bound 1.1: ${verdict})`,
    )
    console.log(
      `wall time of one, one after another: ${took.toFixed(1)} ms, by hand: ${tookByHand.toFixed(1)} ms, ratio ${(took / tookByHand).toFixed(2)}`,
    )
    console.log(
      `the daemon's memory for each: ${each.toFixed(2)} MiB (bound 1: ${each <= 1 ? "holds" : "MISSED"})`,
    )
  } finally {
    for (const one of hand) one.end()
  }
})
