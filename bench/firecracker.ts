// What a machine on Firecracker costs beside the same calls by hand: a start to its guest's first line, and one from a
// loaded slot beside the bare PATCH. `make bench-vmm`, where Firecracker can be used.
import { spawn } from "node:child_process"
import { join } from "node:path"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { bare, ended, filesOf, loadedByHand, type SnapshotFiles, started } from "./firecracker-by-hand.ts"
import { OVM, output, untilSaid, withHome } from "./programs.ts"
import { compare, median, spread } from "./turns.ts"

const ROUNDS = Number(process.argv[2] ?? 30)
const MORE_MS = 1
/** Before what takes a few ms, on either side: what ended last is gone then. */
const REST_MS = 50
const ARGS = "tick_ms=60000 hlt=1"
const FIRST_LINE = "GUEST-READY"
const [PLAIN, WARM] = ["localhost/bench/fc:1", "localhost/bench/fc:warm"]

if (!Bun.which("firecracker")) {
  console.log("firecracker is not on PATH: what it costs is not measured")
  process.exit(0)
}
const guest = await buildGuest()

/** By ovm's daemon, from the request to the guest's first line. */
async function byOvm(runtime: Runtime): Promise<number> {
  const began = performance.now()
  const { instance_id: id } = await runtime.start({ manifest: PLAIN, overrides: { vmm: "firecracker" } })
  await untilSaid(await runtime.logs(id, { follow: true }), FIRST_LINE)
  const took = performance.now() - began
  await runtime.remove(id, { force: true })
  return took
}

/** One curl makes all the calls. */
async function byHand(home: string): Promise<number> {
  const began = performance.now()
  const { folder, child } = await bare(home)
  const calls = [
    ["boot-source", { kernel_image_path: guest, boot_args: ARGS }],
    ["machine-config", { vcpu_count: 1, mem_size_mib: 32 }],
    ["entropy", {}],
    ["actions", { action_type: "InstanceStart" }],
  ] as const
  const args = calls.flatMap(([path, body], index) => [
    ...(index > 0 ? ["--next"] : []),
    ...["-fsS", "--unix-socket", "api.sock", "--retry", "200", "--retry-delay", "0", "--retry-all-errors"],
    ...["-X", "PUT", "-d", JSON.stringify(body), `http://localhost/${path}`],
  ])
  while (
    !(await Bun.file(join(folder, "api.sock"))
      .stat()
      .then(
        () => true,
        () => false,
      ))
  )
    await Bun.sleep(1)
  const curl = spawn("curl", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] })
  if (child.stdout) await untilSaid(child.stdout, FIRST_LINE)
  const took = performance.now() - began
  // It would try again what a Firecracker that has gone did not answer.
  curl.kill("SIGKILL")
  await ended({ child })
  return took
}

/** From the request to the answer that the guest runs, with a slot that waits; and what of it is the VMM's. */
async function fromSlot(runtime: Runtime): Promise<readonly [number, number]> {
  while (!(await runtime.info()).warm.every(({ ready, wanted }) => ready === wanted)) await Bun.sleep(5)
  await Bun.sleep(REST_MS)
  const began = performance.now()
  const id = await started(runtime, WARM)
  const took = performance.now() - began
  const { spawn, resume = Number.NaN } = (await runtime.status(id)).timings_ms
  if (spawn !== undefined) throw new Error("there was no slot")
  await runtime.remove(id, { force: true })
  return [took, resume]
}

/** The PATCH alone, of a Firecracker that has loaded the same snapshot. */
async function barePatch(home: string, files: SnapshotFiles): Promise<number> {
  const { api, child } = await loadedByHand(home, files)
  await Bun.sleep(REST_MS)
  const began = performance.now()
  await api.ask("PATCH", "/vm", { state: "Resumed" })
  const took = performance.now() - began
  await ended({ child, api })
  return took
}

/** Has a snapshot of the machine, running on Firecracker, be WARM. */
async function snapshotted(runtime: Runtime): Promise<void> {
  const source = await started(runtime, PLAIN, { vmm: "firecracker" })
  await runtime.snapshot({ instance_id: source, tag: "warm" })
  await runtime.remove(source, { force: true })
}

/** A daemon with these settings besides, that has the machine. */
async function daemon(home: string, env: NodeJS.ProcessEnv, settings: object): Promise<Runtime> {
  const all = { defaults: { network: "none" }, limits: { warmMemory: 256 << 20 }, ...settings }
  await Bun.write(join(home, "daemon.json"), JSON.stringify(all))
  await packGuest(join(home, "store"), PLAIN, ARGS)
  output([OVM, "daemon", "--detach"], env)
  return connect(join(home, "ovm.sock"))
}

await withHome(async (env, home) => {
  // As by hand.
  const runtime = await daemon(home, env, { jail: false })
  const times: Record<"ovm" | "hand" | "slot" | "resume" | "patch", number[]> = {
    ...{ ovm: [], hand: [], slot: [], resume: [], patch: [] },
  }
  for (let round = 0; round <= ROUNDS; round++) {
    times.ovm.push(await byOvm(runtime))
    times.hand.push(await byHand(home))
  }
  await snapshotted(runtime)
  const files = await filesOf(runtime, home, WARM)
  await runtime.warm({ manifest: WARM, slots: 1 })
  for (let round = 0; round <= ROUNDS; round++) {
    const [slot, resume] = await fromSlot(runtime)
    times.slot.push(slot)
    times.resume.push(resume)
    times.patch.push(await barePatch(home, files))
  }
  // The first of each warms caches.
  for (const all of Object.values(times)) all.shift()
  compare(
    "POST /start to the first line, on Firecracker",
    times.ovm,
    { name: "the same calls by curl", took: times.hand },
    1.1,
  )
  spread("POST /start to running, warm slot on Firecracker", times.slot)
  spread("  of which Firecracker's PATCH /vm", times.resume)
  spread("  the bare PATCH /vm", times.patch)
  const more = median(times.slot) - median(times.patch)
  console.log(`  ${more.toFixed(2)} ms more (bound ${MORE_MS} ms: ${more <= MORE_MS ? "holds" : "MISSED"})`)
})

await withHome(async (env, home) => {
  const runtime = await daemon(home, env, {})
  const { vmms } = await runtime.info()
  if (!vmms.some((vmm) => "jailed" in vmm && vmm.jailed)) return
  const times: number[] = []
  for (let round = 0; round <= ROUNDS; round++) times.push(await byOvm(runtime))
  await snapshotted(runtime)
  await runtime.warm({ manifest: WARM, slots: 1 })
  const slots: number[] = []
  for (let round = 0; round <= ROUNDS; round++) slots.push((await fromSlot(runtime))[0])
  for (const all of [times, slots]) all.shift()
  spread("POST /start to the first line, in a jail of Firecracker's", times)
  spread("POST /start to running, warm slot in a jail", slots)
})
process.exit(0)
