import { readFile, stat } from "node:fs/promises"
import { createConnection } from "node:net"
import { isDeepStrictEqual } from "node:util"
import { shortened } from "../../agent/stand-in.ts"
import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { unique } from "../unique.ts"
import { hasArguments } from "./arguments.ts"
import { harnessOf, type Plan, refusedCreate, type Scene } from "./plan.ts"
import { said } from "./said.ts"
import { isNamed } from "./serial-numbers.ts"

// Disks and other devices as the suite's guest finds them.

type Told = Instance & {
  readonly devices?: readonly { readonly type: string; readonly name: string; readonly path?: string }[]
}

/** Has volumes as long as `use` takes, and the machines that it starts. */
async function withVolumes(
  scene: Scene,
  use: (scene: Scene, names: readonly [string, string]) => Promise<void>,
): Promise<void> {
  const names = [unique(), unique()] as const
  const ids: string[] = []
  const start = async (body: object) => {
    const id = await scene.start(body)
    ids.push(id)
    return id
  }
  for (const name of names) await scene.runtime.ask("POST /volumes", "", { body: { name, size: 1 << 20 } })
  try {
    await use({ ...scene, start }, names)
  } finally {
    for (const id of ids) await scene.runtime.raw("DELETE", `/instances/${id}`, { query: "force=true" })
    for (const name of names) await scene.runtime.raw("DELETE", `/volumes/${name}`)
  }
}

export const diskPlans: readonly Plan[] = [
  {
    name: "volumes-of-a-machine",
    covers: ["OVMS-VOL-003", "OVMS-VOL-005", "OVMS-VOL-007", "OVMS-VOL-009", "OVMS-GST-030", "OVMS-GST-031"],
    run: (whole) =>
      withVolumes(whole, async (scene, [first, second]) => {
        const { runtime } = scene
        const volumes = [{ name: first }, { name: second, readOnly: true }]
        const { id, text } = await said(scene, runtime.guest, "write=3", { volumes })
        await isNamed(scene, { id, text }, first.slice(0, 20), 1)
        must(text.includes("WROTE 3 [written"), "the guest cannot write to its volume")
        const shown = (await runtime.status(id)).volumes
        const wanted = [
          { name: first, read_only: false },
          { name: second, read_only: true },
        ]
        must(isDeepStrictEqual(shown, wanted), `volumes is ${JSON.stringify(shown)}`)
        const body = { manifest: runtime.guest, overrides: { volumes: [{ name: first }] } }
        const { message } = await runtime.refused("POST /start", "OVM_VOLUME_IN_USE", "", { body })
        must(
          message.includes(id) || message.includes((await runtime.status(id)).name),
          "the refusal does not name the instance",
        )
        const writes = { manifest: runtime.guest, overrides: { volumes: [{ name: second }] } }
        await runtime.refused("POST /start", "OVM_VOLUME_IN_USE", "", { body: writes })
        await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
        // Behind the disk of its first boot.
        const again = await said(scene, runtime.guest, "read=3 write=4 disk=3", {
          volumes: [{ name: second }, { name: first, readOnly: true }],
          config: { hostname: "suite-host" },
        })
        must(again.text.includes("DISK sectors=2048"), "a volume of 1 MiB has another size for the guest")
        must(!again.text.includes("WROTE 4 [written"), "the guest writes to a volume that it may only read")
        must(again.text.includes("SECTOR 3 [written by the guest]"), "what was written to a volume is gone")
        await isNamed(scene, again, first.slice(0, 20), 3)
      }),
  },
  {
    name: "further-disks",
    covers: ["OVMS-MAN-127", "OVMS-MAN-128", "OVMS-GST-030", "OVMS-API-515"],
    async run(scene) {
      const { runtime, machine } = scene
      const disks = [
        { name: "data", size: 1 << 20 },
        { name: "more", size: 2 << 20 },
      ]
      const manifest = await machine({ diskless: false, document: { disks } })
      const { id, text } = await said(scene, manifest, "write=2 disk=2")
      must(text.includes("DISK sectors=2048"), "the second disk is not the first of disks")
      await isNamed(scene, { id, text }, "data", 2)
      const next = await said(scene, manifest, "read=2 disk=3")
      must(next.text.includes("DISK sectors=4096"), "the third disk is not the next one")
      await isNamed(scene, next, "more", 3)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      const other = await said(scene, manifest, "read=2 disk=2")
      must(
        !other.text.includes("written by the guest"),
        "what one machine wrote to its disk is on that of another",
      )
      const again = await said(scene, manifest, "write=2 read=2 disk=2")
      must(
        again.text.includes("SECTOR 2 [written by the guest]"),
        "what a guest writes to a further disk is not there",
      )
    },
  },
  {
    name: "serial-ports",
    covers: ["OVMS-DEV-020", "OVMS-DEV-021", "OVMS-DEV-022", "OVMS-DEV-023", "OVMS-API-501"],
    async run(scene) {
      const { runtime, machine } = scene
      const ports = (count: number, more: object = {}) =>
        Array.from({ length: count }, (_, at) => ({ type: "serial", name: `port${at}`, ...more }))
      const devices = ports(3)
      const { id } = await said(scene, await machine({ document: { devices } }), "serial=1")
      await runtime.says(id, /TICK 3\r?\n/)
      const told = ((await runtime.status(id)) as Told).devices ?? []
      must(told.map(({ name }) => name).join() === "port0,port1,port2", `devices is ${JSON.stringify(told)}`)
      const path = told[0]?.path
      must(path, "the serial port has no path")
      const socket = createConnection({ path: shortened(path) })
      let heard = ""
      socket.on("data", (bytes) => {
        heard += bytes
      })
      socket.on("error", () => {})
      socket.write("to the guest\n")
      try {
        await runtime.says(id, /SERIAL \[to the guest\]/)
        await runtime.until("what the guest gives back", async () => heard.includes("to the guest\n"))
        must(!heard.includes("SERIAL-READY"), "what was written while nobody was connected was kept")
      } finally {
        socket.destroy()
      }
      const four = await machine({ document: { devices: ports(4) } })
      await refusedCreate(runtime, "OVM_UNSUPPORTED", { manifest: four })
      const three = await machine({
        document: { devices: [...devices, ...ports(1, { name: "port3", required: false })] },
      })
      const lenient = await said(scene, three, "")
      const { warnings } = await runtime.status(lenient.id)
      must(
        warnings.some((words) => /port3|serial|\/devices\/3/.test(words)),
        `no warning names the port: ${warnings.join("; ")}`,
      )
    },
  },
  {
    name: "shared-memory",
    covers: ["OVMS-DEV-010"],
    async run(scene) {
      const { runtime, machine } = scene
      harnessOf(runtime)
      const devices = [{ type: "ivshmem", name: "frames", size: 1 << 20 }]
      const { id } = await said(
        scene,
        await machine({ document: { devices } }),
        "shared=1 shared_say=hello-suite",
      )
      const text = await runtime.says(id, /SHARED [^\n]*\n/)
      must(text.includes("SHARED [hello-suite]"), "the guest finds no shared memory")
      const path = ((await runtime.status(id)) as Told).devices?.[0]?.path
      must(path, "devices has no path of the memory")
      must(((await stat(path)).mode & 0o777) === 0o600, "others than its user can have the memory")
      must((await readFile(path)).includes("hello-suite"), "the file does not hold the memory")
    },
  },
  {
    name: "arguments-as-they-are",
    covers: ["OVMS-MAN-027"],
    async run(scene) {
      const { runtime, machine, start } = scene
      const { digest } = await kernelRef(scene)
      const odd = `console=ttyS0  tick_ms=100   odd="a b" 'c' $HOME %s`
      const cases = [
        [odd, odd],
        [undefined, ""],
      ] as const
      for (const [args, wanted] of cases) {
        const manifest = await machine({
          document: { kernel: { ref: digest, ...(args !== undefined && { args }) } },
        })
        const id = await start({ manifest })
        const text = await runtime.says(id, /CMDLINE \[.*\]\r\n/)
        await hasArguments(scene, text, wanted)
      }
    },
  },
]

/** The digest of the suite's kernel, as its own layout has it. */
async function kernelRef({ runtime }: Scene): Promise<{ digest: string }> {
  const index = JSON.parse(await readFile(`${runtime.guest}/index.json`, "utf8"))
  const blob = async (digest: string) =>
    JSON.parse(await readFile(`${runtime.guest}/blobs/sha256/${digest.slice(7)}`, "utf8"))
  const oci = await blob(index.manifests[0].digest)
  const { kernel } = await blob(oci.config.digest)
  return { digest: kernel.ref }
}
