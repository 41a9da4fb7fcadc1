// What an adapter outside of the program costs a start: the same QEMU by the built-in adapter and by the example in
// Python, in turns. `make bench-vmm`.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { outside } from "../packages/ovm/src/vmm/exec/index.ts"
import { qemu } from "../packages/ovm/src/vmm/qemu/index.ts"
import type { Vmm } from "../packages/ovm/src/vmm/vmm.ts"
import { median, spread } from "./turns.ts"

const ROUNDS = Number(process.argv[2] ?? 40)
const MORE_MS = 5

process.env.PATH = `${resolve(import.meta.dir, "../examples/adapters/python")}:${process.env.PATH}`
const root = mkdtempSync(join(tmpdir(), "ovm-bench-vmm-"))
const guest = await buildGuest()
const [own, other] = [qemu(join(root, "cache")), outside("pyqemu")]
let count = 0

/** Milliseconds from the call to a guest that runs, with the built-in adapter's accelerator, memory and devices. */
async function launched(vmm: Vmm): Promise<number> {
  const directory = join(root, `${count++}`)
  mkdirSync(directory)
  const kernel = { path: guest, args: "tick_ms=60000 hlt=1" }
  const resources = { vcpus: 1, memory: 64 << 20 }
  const plan = {
    id: "x",
    directory,
    resources,
    kernel,
    devices: [],
    consoleLimit: 64 << 10,
    accelerator: "tcg",
  }
  const began = performance.now()
  const machine = await vmm.launch(plan)
  const took = performance.now() - began
  await machine.stop({ graceMs: 0 })
  return took
}

const times: Record<"own" | "outside", number[]> = { own: [], outside: [] }
for (const vmm of [own, other]) await launched(vmm)
for (let round = 0; round < ROUNDS; round++) {
  times.own.push(await launched(own))
  times.outside.push(await launched(other))
}
spread("launch by the built-in adapter of QEMU", times.own)
spread("launch by the example in Python, of the same QEMU", times.outside)
const more = median(times.outside) - median(times.own)
console.log(
  `an adapter outside: ${more.toFixed(1)} ms more (bound ${MORE_MS} ms: ${more <= MORE_MS ? "holds" : "MISSED"})`,
)
rmSync(root, { recursive: true })
process.exit(0)
