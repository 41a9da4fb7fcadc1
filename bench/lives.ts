// A machine that has stopped is started again: beside its first boot. And its disk becomes an image: beside qemu-img
// convert. Part of `make bench-machine`.
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { FIRST_LINE, packDemo } from "./demo-machine.ts"
import { OVM, output, untilSaid, withHome } from "./programs.ts"
import { inTurns, median, report } from "./turns.ts"

const ROUNDS = 5
const DISK = 512 << 20
const WRITTEN = 128 << 20

async function ended(runtime: Runtime, id: string): Promise<void> {
  for await (const _ of await runtime.logs(id, { follow: true }));
  while ((await runtime.status(id)).state !== "stopped") await Bun.sleep(10)
}

async function starts(runtime: Runtime): Promise<void> {
  let id = ""
  const life = async (begin: () => Promise<unknown>) => {
    const began = performance.now()
    await begin()
    await untilSaid(await runtime.logs(id, { follow: true }), FIRST_LINE)
    const took = performance.now() - began
    await ended(runtime, id)
    return took
  }
  const first = async () => {
    if (id !== "") await runtime.remove(id, { force: true })
    return await life(async () => {
      id = (await runtime.start({ manifest: "lives:1" })).instance_id
    })
  }
  const [boot = Number.NaN, again = Number.NaN] = await inTurns(ROUNDS, first, () =>
    life(() => runtime.startAgain(id)),
  )
  const what = "a stopped machine's start to its first line"
  report(what, again, { name: "its first boot", took: boot }, 1.05)
}

/** A machine that has stopped, whose overlay is then filled from outside: what a guest has written at leisure. */
async function written(runtime: Runtime, home: string): Promise<{ id: string; overlay: string }> {
  const { instance_id: id } = await runtime.start({ manifest: "written:1" })
  await untilSaid(await runtime.logs(id, { follow: true }), "DISK")
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  while ((await runtime.status(id)).state !== "stopped") await Bun.sleep(10)
  const overlay = join(home, "instances", id, "overlay.qcow2")
  const random = join(home, "random")
  const pieces = Array.from({ length: WRITTEN >> 16 }, () => crypto.getRandomValues(new Uint8Array(1 << 16)))
  await Bun.write(random, pieces)
  output(["qemu-io", "-c", `write -q -s ${random} 0 ${WRITTEN}`, overlay])
  return { id, overlay }
}

async function commits(runtime: Runtime, home: string): Promise<void> {
  const { id, overlay } = await written(runtime, home)
  const out = join(home, "converted.qcow2")
  let tag = 0
  const ours = async () => {
    // What is here already would not have to be brought to the disk.
    output(["qemu-io", "-c", `write -q -P ${++tag} 0 65536`, overlay])
    const began = performance.now()
    await runtime.commit(id, { name: `committed:${tag}` })
    return performance.now() - began
  }
  const convert = async () => {
    await rm(out, { force: true })
    const began = performance.now()
    output(["qemu-img", "convert", "-O", "qcow2", overlay, out])
    return performance.now() - began
  }
  // What a layer is beyond a disk: known by its digest, and there after a power cut.
  const [hashing, syncing]: [number[], number[]] = [[], []]
  const kept = async () => {
    const took = await convert()
    const began = performance.now()
    output(["openssl", "dgst", "-sha256", out])
    const hashed = performance.now()
    output(["sync", "-d", out])
    hashing.push(hashed - began)
    syncing.push(performance.now() - hashed)
    return took + performance.now() - began
  }
  const [commit = Number.NaN, alone = Number.NaN, whole = Number.NaN] = await inTurns(
    ROUNDS,
    ours,
    convert,
    kept,
  )
  const what = `commit of ${WRITTEN >> 20} MiB that a guest has written`
  report(what, commit, { name: "qemu-img convert", took: alone }, 1.2)
  report("  the same", commit, { name: "and openssl's SHA-256 and sync of its file", took: whole }, 1.2)
  const [hash, sync] = [hashing, syncing].map((times) => median(times.slice(1)).toFixed(1))
  console.log(`  the hash alone: ${hash} ms; the sync alone: ${sync} ms`)
}

await withHome(async (env, home) => {
  await packDemo(env, home, "lives:1")
  const disk = join(home, "disk.raw")
  await Bun.write(disk, Buffer.alloc(DISK))
  await packGuest(join(home, "store"), "written:1", "tick_ms=1000", {
    diskLayers: [{ path: disk, format: "raw" }],
  })
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  await starts(runtime)
  await commits(runtime, home)
  for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
})
