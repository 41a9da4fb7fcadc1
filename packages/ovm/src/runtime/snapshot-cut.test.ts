import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync } from "node:fs"
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { pidsIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { ChainReader, withLayers } from "../disk/chain-reader.ts"
import { endStray } from "../vmm/process/stray.ts"
import type { LocalRuntime } from "./local.ts"
import type { InstanceRecord } from "./record.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"
import { writtenDisk } from "./written-disks.ts"

// A machine, its keeper and its daemon end all at once, as with a host that loses power, in the middle of a snapshot.

setDefaultTimeout(240_000)

const NAME = "localhost/tests/cut:1"
const SIZE = 2 << 20
/** Where the guest notes its ticks. */
const LOG = 8

/** A runtime that takes a snapshot, of which it is told as late as never that it was taken. */
const TAKING = `
  const [{ openRuntime }, { availableVmms }] = await Promise.all(MODULES.map((path) => import(path)))
  const [vmm] = availableVmms(ROOT + "/cache", ["qemu"])
  const never = Object.create(vmm, {
    launch: {
      value: async (plan, call) => {
        const machine = await vmm.launch(plan, call)
        const snapshot = machine.snapshot.bind(machine)
        machine.snapshot = async (...given) => {
          await snapshot(...given)
          console.log("turned")
          return await new Promise(() => {})
        }
        return machine
      },
    },
  })
  const runtime = await openRuntime(ROOT, { vmms: [never] })
  const { instance_id } = await runtime.start({ manifest: NAME })
  console.log(instance_id)
  process.stdin.once("data", () => void runtime.snapshot({ instance_id, tag: "one" }))
`

describe.skipIf(guestMissing !== "")(`a host that ends in the middle of a snapshot ${guestMissing}`, () => {
  let root: string
  let runtime: LocalRuntime | undefined
  let daemon: ReturnType<typeof begin> | undefined
  const directory = (id: string) => join(root, "instances", id)

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-cut-"))
    const path = join(root, "disk.raw")
    await writeFile(path, Buffer.alloc(SIZE))
    await packGuest(join(root, "store"), NAME, `tick_ms=20 hlt=1 flush=1 also=1 log=${LOG}`, {
      diskLayers: [{ path, format: "raw" }],
      disks: [{ name: "data", size: SIZE }],
      resources: { vcpus: 1, memory: 16 << 20 },
    })
  })
  afterAll(async () => {
    daemon?.kill("SIGKILL")
    await runtime?.close()
    const folders = readdirSync(join(root, "instances")).map(directory)
    await Promise.all(folders.map(endStray))
    await rm(root, { recursive: true })
  })

  async function flushed(id: string): Promise<number> {
    const { readConsole } = await import("../vmm/console.ts")
    const text = Buffer.concat(await Array.fromAsync(readConsole(directory(id)))).toString()
    return Number([...text.matchAll(/FLUSHED (\d+)\r\n/g)].at(-1)?.[1] ?? 0)
  }

  /** Waits for some more ticks that the guest was told to be on its disks. */
  async function goesOn(id: string): Promise<number> {
    const before = await flushed(id)
    return await until("it goes on", () => flushed(id), { is: (now) => now >= before + 5 })
  }

  /** What the guest would read of tick `tick` on each of its disks by what is on record. */
  async function noted(id: string, tick: number): Promise<readonly bigint[]> {
    const text = await readFile(join(directory(id), "instance.json"), "utf8")
    const { lineage } = JSON.parse(text) as InstanceRecord
    const further = writtenDisk(directory(id), lineage ?? {}, "data")
    const chains = [lineage, further].map(
      (chain) => [...(chain?.overlays ?? []), chain?.top ?? ""] as string[],
    )
    return await Promise.all(
      chains.map((chain) =>
        withLayers(
          chain.map((path) => ({ path, format: "qcow2" })),
          async (layers) => {
            const bytes = await new ChainReader(layers).read((LOG + tick) * 512, 8)
            return new DataView(bytes?.buffer ?? new ArrayBuffer(8)).getBigUint64(0, true)
          },
        ),
      ),
    )
  }

  /** Another process, which takes a snapshot once it is told to. */
  function begin() {
    const modules = ["./runtime.testing.ts", "../vmm/available.ts"].map((path) => join(import.meta.dir, path))
    const [list = "", folder = "", name = ""] = [modules, root, NAME].map((value) => JSON.stringify(value))
    const code = TAKING.replace("MODULES", list).replaceAll("ROOT", folder).replace("NAME", name)
    return Bun.spawn([process.execPath, "-e", code], { stdin: "pipe", stdout: "pipe", stderr: "inherit" })
  }

  // As if the note of the snapshot was there still, or gone already.
  test.each(["there", "gone"])(
    "what the guest has written since the instant is on its disks, note %s (OVMS-SNP-180)",
    async (note) => {
      daemon = begin()
      const lines = daemon.stdout.pipeThrough(new TextDecoderStream()).getReader()
      const line = async () => (await lines.read()).value?.trim() ?? ""
      const id = await line()
      await goesOn(id)
      daemon.stdin.write("go\n")
      daemon.stdin.flush()
      const [noteFile, kept] = [join(directory(id), "snapshot.json"), join(root, "note")]
      await until("there is a note", () =>
        copyFile(noteFile, kept).then(
          () => true,
          () => false,
        ),
      )
      expect(await line()).toBe("turned")
      const last = await goesOn(id)
      for (const pid of [daemon.pid, ...pidsIn(directory(id))]) process.kill(pid, "SIGKILL")
      await daemon.exited
      await until("all of it is gone", () => pidsIn(directory(id)).length === 0)
      if (note === "there") await copyFile(kept, noteFile)

      let now = await openRuntime(root)
      runtime = now
      await until("its end is known", () => now.status(id), { is: ({ state }) => hasEnded(state) })
      expect(await noted(id, last)).toEqual([BigInt(last), BigInt(last)])
      await now.startAgain(id)
      await goesOn(id)
      expect(existsSync(noteFile)).toBe(false)
      // A daemon that comes takes nothing back.
      await now.close()
      now = await openRuntime(root)
      runtime = now
      await until("it is adopted", () => now.status(id), { is: ({ state }) => state === "running" })
      await goesOn(id)
      const disks = readdirSync(directory(id)).filter((name) => name.endsWith(".qcow2"))
      expect(disks).toHaveLength(4)
      await now.remove(id, { force: true })
      await now.close()
    },
  )
})
