import { once } from "node:events"
import { constants } from "node:fs"
import { mkdir, open, readFile, writeFile } from "node:fs/promises"
import { connect } from "node:net"
import { basename, dirname, join } from "node:path"
import { emptyOverlay } from "../../artifact/qcow2.ts"
import { type CheckCall, fail, must, skip } from "../../check.ts"
import { honoured, planOf, strange, Vmm } from "./machine.ts"
import type { AdapterPlan, AdapterScene } from "./plan.ts"

const COVERS = ["OVMS-ADP-053"]
const MIB = 1 << 20
const MAC = "52:54:00:12:34:56"
/** Its bytes in the guest's memory, as two numbers of 64 bits of which the second is said first. */
const GENERATION = {
  text: "01020304-0506-0708-090a-0b0c0d0e0f10",
  said: "100f0e0d0c0b0a090708050601020304",
}

/** Boots a machine with `more` in its plan, whose members it names, until it ticks; its console has `words` then. */
export async function boots(
  scene: AdapterScene,
  args: string,
  more: object,
  words: readonly RegExp[],
): Promise<string> {
  const { session, ...call } = scene
  const plan = await planOf(call, args, more)
  await honoured(session, plan, [...Object.keys(more), "/kernel/args"])
  let console = ""
  await Vmm.run(session, plan, call, async (vmm) => {
    await session.ask("start", vmm.members)
    await vmm.says(/TICK 1\r?\n/)
    // An agent's port it looks for between its ticks.
    if (!words.every((one) => one.test(vmm.console))) await vmm.says(/TICK 3\r?\n/)
    for (const one of words) must(one.test(vmm.console), `the guest has not found ${one}`)
    await session.ask("quit", vmm.members)
    await vmm.end()
    console = vmm.console
  })
  return console
}

/** Connects to a socket as long as `use` takes, by whatever path: a machine's folder may have a longer one. */
async function connected(path: string, use: () => Promise<void>): Promise<void> {
  const folder = await open(dirname(path), constants.O_DIRECTORY)
  const socket = connect(`/proc/self/fd/${folder.fd}/${basename(path)}`)
  try {
    await once(socket, "connect").catch((error) => fail(`nothing listens at ${path}: ${error.message}`))
    await use()
  } finally {
    socket.destroy()
    await folder.close()
  }
}

/** What the guest says of a kind of device. */
const said = (kind: string) => new RegExp(`${kind} [^\\r\\n]*\\r?\\n`)

/** Boots a machine with a device that the guest knows on PCI alone, and says `none` of elsewhere. */
async function finds(scene: AdapterScene, args: string, more: object, wanted: string): Promise<void> {
  const [kind = ""] = wanted.split(" ")
  const found = await boots(scene, args, more, [said(kind)])
  if (found.includes(`${kind} none`))
    skip(`the guest finds no such device on PCI, which is all that it knows: ${kind}`)
  must(new RegExp(wanted).test(found), `what the guest has found is not ${wanted}`)
}

async function raw(call: CheckCall, name: string, size: number): Promise<string> {
  const path = join(call.folder, strange(name))
  await writeFile(path, Buffer.alloc(size))
  return path
}

/** The first one, of a layer and an overlay, or a further one that is empty at first. */
async function diskOf(call: CheckCall, name: string, size: number): Promise<object> {
  const overlay = join(call.folder, strange(`${name}.qcow2`))
  await writeFile(overlay, emptyOverlay(size, name === "first" ? "no-such-file.raw" : ""))
  if (name !== "first") return { layers: [], overlay, size, name }
  return { layers: [{ path: await raw(call, `${name}.raw`, size), format: "raw" }], overlay, size }
}

/** One boot for each disk: the guest looks at one alone, which it tries to write to. */
async function inOrder(scene: AdapterScene): Promise<void> {
  const [fixed, firstBoot, kept, written] = await Promise.all([
    raw(scene, "fixed", 3 * MIB),
    raw(scene, "boot", 4 * MIB),
    raw(scene, "kept", 5 * MIB),
    raw(scene, "written", 6 * MIB),
  ])
  const fixedDisk = {
    layers: [{ path: fixed, format: "raw" }],
    size: 3 * MIB,
    ephemeral: false,
    name: "fixed",
  }
  const more = {
    disk: await diskOf(scene, "first", MIB),
    disks: [await diskOf(scene, "data", 2 * MIB), fixedDisk],
    firstBoot: { path: firstBoot, size: 4 * MIB },
    volumes: [
      { path: kept, serial: "kept", readOnly: true },
      { path: written, serial: "written", readOnly: false },
    ],
  }
  const wanted = [
    [undefined, "written"],
    ["data", "written"],
    ["fixed", "error"],
    [undefined, "error"],
    ["kept", "error"],
    ["written", "written"],
  ] as const
  for (const [at, [serial, becomes]] of wanted.entries()) {
    const own = join(scene.folder, String(at))
    await mkdir(own)
    const size = new RegExp(`DISK sectors=${((at + 1) * MIB) / 512}\\r?\\n`)
    const wrote = becomes === "error" ? /WROTE 7 error/ : /WROTE 7 \[written/
    const words = serial ? [size, wrote, new RegExp(`DISK-ID \\[${serial}\\]`)] : [size, wrote]
    await boots({ ...scene, folder: own }, `disk=${at + 1} write=7`, more, words)
  }
  for (const path of [fixed, firstBoot, kept])
    must(
      (await readFile(path)).every((byte) => byte === 0),
      `the guest wrote to ${path}, which it is to read alone`,
    )
  must(
    (await readFile(written)).includes("written by the guest"),
    "what the guest wrote is not in its volume",
  )
}

/** Its disk is of one layer, and there is nothing that the guest could write to. */
async function readsAlone(scene: AdapterScene): Promise<void> {
  const path = await raw(scene, "read-only", MIB)
  const disk = { layers: [{ path, format: "raw" }], size: MIB, ephemeral: false }
  await boots(scene, "write=7", { disk }, [/DISK sectors=2048\r?\n/, /WROTE 7 error/])
  must(
    (await readFile(path)).every((byte) => byte === 0),
    "the guest wrote to a layer that has no overlay",
  )
}

/** What a plan asks for, which the guest finds unless `check` has found that it cannot be had. */
export const adapterHonoursPlans: readonly AdapterPlan[] = [
  { name: "disks-in-their-order", covers: COVERS, run: inOrder },
  { name: "disk-without-an-overlay", covers: [...COVERS, "OVMS-ADP-050"], run: readsAlone },
  {
    name: "ignition",
    covers: COVERS,
    async run(scene) {
      const path = join(scene.folder, strange("ignition"))
      await writeFile(path, '{"ignition":{"version":"3.4.0"}}')
      const config = /FW_CFG 32 \[\{"ignition":\{"version":"3.4.0"\}\}\]/
      await boots(scene, "fw_cfg=opt/com.coreos/config", { ignition: { path } }, [config])
    },
  },
  {
    name: "initrd",
    covers: COVERS,
    async run(scene) {
      const path = await raw(scene, "initrd", 12_345)
      await boots(scene, "", { initrd: { path } }, [/INITRD addr=\w+ size=12345 /])
    },
  },
  {
    name: "entropy",
    covers: COVERS,
    run: (scene) =>
      finds(
        scene,
        "rng=1",
        { devices: [{ type: "rng", name: "entropy", required: true }] },
        "RNG [0-9a-f]{32}",
      ),
  },
  {
    name: "network",
    covers: COVERS,
    run: (scene) => finds(scene, "net=1", { network: { mac: MAC } }, `NIC ${MAC} `),
  },
  {
    name: "generation-id",
    covers: [...COVERS, "OVMS-ADP-055"],
    async run(scene) {
      const id = new RegExp(`VMGENID .* id=${GENERATION.said}`)
      await boots(scene, "", { generationId: GENERATION.text }, [id])
    },
  },
  {
    name: "nothing-besides",
    covers: COVERS,
    async run(scene) {
      const kinds = ["NIC", "AGENT", "DISK"]
      const found = await boots(scene, "net=1 agent=1", {}, kinds.map(said))
      for (const kind of kinds)
        must(found.includes(`${kind} none`), `there is one besides: ${said(kind).exec(found)}`)
    },
  },
  {
    name: "agent",
    covers: ["OVMS-ADP-052"],
    async run({ session, ...call }) {
      const plan = await planOf(call, "agent=1", { agent: true })
      await honoured(session, plan, ["agent"])
      const { agent } = await session.ask("prepare", { plan })
      must(typeof agent === "string" && !agent.includes("/"), `agent is ${agent}, and no name of a socket`)
      await Vmm.run(session, plan, call, async (vmm) => {
        await session.ask("start", vmm.members)
        await vmm.says(/AGENT [^\r\n]*\r?\n/)
        if (vmm.console.includes("AGENT none"))
          skip("the guest finds no such device on PCI, which is all that it knows: an agent's port")
        must(
          vmm.console.includes("AGENT [org.ovms.agent.0]"),
          "the port has another name than org.ovms.agent.0",
        )
        await connected(join(plan.directory, agent), () => vmm.says(/AGENT-HOST 1\r?\n/))
        await session.ask("quit", vmm.members)
        await vmm.end()
      })
    },
  },
]
