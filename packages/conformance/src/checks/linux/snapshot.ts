import { documentOf, readLayout } from "../../artifact/layout.ts"
import { must, skip } from "../../check.ts"
import { piecesOf } from "../../subject/pieces.ts"
import { alive, processesWith } from "../../subject/processes.ts"
import { harnessOf, type Plan } from "../runtime/plan.ts"
import { agentThatDies } from "./agent-that-dies.ts"
import { answers, type Linux, linuxOf, output, withLinux } from "./stage.ts"

const TAG = "suite-linux"
/** Hooks in the order of their names, one that fails between; what has another name is none. */
const HOOKS = `mkdir -p /etc/ovm/hooks.d; cd /etc/ovm/hooks.d
for hook in 10-first 30-third Z-last; do
  printf '#!/bin/sh\\necho "%s $1 $OVMS_EVENT $PWD $OVMS_NAME" >>/hooks.log\\n' $hook >$hook; chmod 755 $hook
done
printf '#!/bin/sh\\n[ $1 != post-resume ]\\n' >20-fails; chmod 755 20-fails
cp 10-first 15.dotted; cp 10-first 16-not; chmod 644 16-not
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
printf '# what is renewed\\nmachine-id hostname\\n' >/etc/ovm/renew; echo before >/etc/hostname; rm -f /hooks.log; sync`

const CONFIG = { userData: "#cloud-config\n# for this machine alone\n" }

type Inside = Pick<Linux, "runtime" | "id">

interface Sandboxed {
  readonly exit_code: number
  readonly stdout: string
  readonly started_from: string
}

/** A Linux, and what its snapshot is called. */
interface Taken extends Linux {
  readonly snapshot: string
  /** The disk of its first boot configuration, as the guest knows it, and its bytes. */
  readonly told: Told
}

interface Told {
  readonly device: string
  readonly size: string
}

/** The disk with the file system that a first boot configuration is on. */
async function configuration(linux: Linux): Promise<Told> {
  const words = `for disk in /sys/block/vd*; do
    dd if=/dev/\${disk##*/} bs=2048 skip=16 count=1 2>/dev/null | grep -q cidata && echo \${disk##*/} $(cat $disk/size)
  done; true`
  const [device = "", size = ""] = (await output(linux, words)).split(" ")
  must(size, "the guest finds no disk with its first boot configuration")
  return { device, size }
}

/** A clone has a disk of the same size in its place, and nothing on it. */
async function zerosForWhatItWasTold(clone: Inside, { device, size }: Told): Promise<void> {
  const fresh = "echo 3 >/proc/sys/vm/drop_caches"
  const script = `${fresh}; cat /sys/block/${device}/size; tr -d '\\000' </dev/${device} | wc -c`
  const found = (await output(clone, script)).split(/\s+/)
  must(
    found[0] === size,
    `the disk in the place of the configuration has ${found[0]} sectors, and not ${size}`,
  )
  must(found[1] === "0", `of what another machine was told ${found[1]} bytes are there`)
}

/** By its generation ID device, which Linux finds by its compatible ID, and is told of by. */
async function tellsTheKernel({ runtime, ...clone }: Inside): Promise<void> {
  const known = await output(
    { runtime, ...clone },
    "cat /sys/bus/acpi/devices/*/modalias; ls /sys/bus/acpi/drivers",
  )
  // A kernel without that driver says nothing of the device.
  if (!/^vmgenid$/m.test(known)) return
  must(/VM_GEN_COUNTER/.test(known), "no device of ACPI has the compatible ID VM_Gen_Counter")
  await runtime.until("the kernel is told of its new generation ID", async () =>
    /reseeded.*virtual machine fork/.test(await output({ runtime, ...clone }, "dmesg")),
  )
}

function sandbox({ runtime, snapshot }: Taken, script: string): Promise<Sandboxed> {
  const body = { manifest: snapshot, command: ["sh", "-c", script], timeout_ms: 30_000 }
  return runtime.ask<Sandboxed>("POST /sandbox", "", { body })
}

/** Lines that hooks have left, of one event. */
const wanted = (event: string, name: string) =>
  ["10-first", "30-third", "Z-last"].map((hook) => `${hook} ${event} ${event} / ${name}`).join("\n")

/** A snapshot of a guest whose file systems are frozen meanwhile, and whose hooks are run. */
async function taken(linux: Linux): Promise<Taken> {
  const { runtime, id } = linux
  await output(linux, HOOKS)
  const told = await configuration(linux)
  const body = { instance_id: id, tag: TAG, freeze: true }
  await runtime.ask("POST /snapshot", "", { body })
  // It can be written to again.
  const log = await output(linux, "echo thawed >/thawed; sync; cat /hooks.log")
  const { name } = await runtime.status(id)
  const lines = `${wanted("pre-snapshot", name)}\n${wanted("post-snapshot", name)}`
  must(log === lines, `hooks have left ${JSON.stringify(log)}, and not ${JSON.stringify(lines)}`)
  const manifest = await documentOf(await readLayout(await linuxOf(linux)))
  return { ...linux, told, snapshot: `localhost/${manifest?.name}:${TAG}` }
}

/** A clone renews what it was told to, and runs its hooks. */
async function cloned({ runtime, start, snapshot, told }: Taken): Promise<{ readonly died: boolean }> {
  const id = await start({ manifest: snapshot })
  await answers(runtime, id)
  const { name } = await runtime.status(id)
  const clone = { runtime, id }
  const log = await output(clone, "cat /hooks.log")
  must(log.includes(wanted("post-resume", name)), `hooks of the clone have left ${JSON.stringify(log)}`)
  const [machine, host, kernel] = (await output(clone, "cat /etc/machine-id /etc/hostname; uname -n")).split(
    "\n",
  )
  must(/^[0-9a-f]{32}$/.test(machine ?? ""), `machine-id is ${machine}`)
  must(machine !== "0123456789abcdef0123456789abcdef", "the clone has the machine-id of its snapshot")
  must(host === name && kernel === name, `the clone is called ${host} and ${kernel}, and not ${name}`)
  await tellsTheKernel(clone)
  await zerosForWhatItWasTold(clone, told)
  const died = await agentThatDies(clone)
  await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
  return { died }
}

/** Commands in machines of their own. */
async function sandboxes(taken: Taken): Promise<void> {
  const { runtime, signal, snapshot: manifest } = taken
  const harness = harnessOf(runtime)
  const left = "echo mine >/left; cat /left"
  must((await sandbox(taken, left)).stdout === "mine\n", "a command of a sandbox says something else")
  const second = await sandbox(taken, "cat /left 2>/dev/null; echo nothing")
  must(second.stdout === "nothing\n", "a machine of a sandbox was used for another request")
  await runtime.ask("POST /warm", "", { body: { manifest, slots: 1 } })
  await runtime.until("a slot is loaded", async () => {
    const { warm } = await runtime.ask<{ warm: readonly { ready: number }[] }>("GET /info")
    return warm.some(({ ready }) => ready > 0)
  })
  const { started_from } = await sandbox(taken, "true")
  must(started_from === "slot", `a sandbox began with ${started_from} although there was a slot`)
  const body = { manifest, command: ["sh", "-c", "echo one; echo two >&2; exit 7"] }
  const { status, text } = await runtime.raw("POST", "/sandbox/stream", { body })
  const pieces = piecesOf(text)
  const joined = (kind: number) => pieces.filter((one) => one.kind === kind).map(({ bytes }) => bytes)
  must(
    status === 200 && joined(1).join("") === "one\n" && joined(2).join("") === "two\n",
    "pieces are others",
  )
  const end = pieces.at(-1)
  must(end?.kind === 3 && JSON.parse(end.bytes).exit_code === 7, `the last piece is ${JSON.stringify(end)}`)
  await runtime.ask("POST /warm", "", { body: { manifest, slots: 0 } })
  const before = await settled(harness.home)
  const long = { manifest, command: ["sh", "-c", "echo begun; sleep 300"] }
  await runtime.raw("POST", "/sandbox/stream", { body: long, onData: () => true })
  await runtime.until("nothing is left of a sandbox whose client has gone", async () =>
    alive(processesWith(harness.home)).every((pid) => before.has(pid)),
  )
  const stop = new AbortController()
  let begun = false
  const onData = () => {
    begun = true
    return false
  }
  const killed = runtime.with(stop.signal).raw("POST", "/sandbox/stream", { body: long, onData })
  killed.catch(() => {})
  await runtime.until("the command has begun", async () => begun)
  const machines = alive(processesWith(harness.home)).filter((pid) => !before.has(pid))
  await harness.kill()
  stop.abort()
  await harness.start(signal)
  await runtime.until("nothing is left of the sandbox of a runtime that was killed", async () => {
    const { instances } = await runtime.ask<{ instances: readonly object[] }>("GET /instances")
    must(instances.length <= 1, "machines of sandboxes are shown after a restart")
    return alive(machines).length === 0
  })
}

/** The processes of a runtime once no slot is loaded any more. */
async function settled(home: string): Promise<ReadonlySet<number>> {
  for (let last = -1; ; ) {
    const now = alive(processesWith(home))
    if (now.length === last) return new Set(now)
    last = now.length
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

export const linuxSnapshotPlans: readonly Plan[] = [
  {
    name: "linux/snapshot-and-sandboxes",
    profile: "agent",
    slow: true,
    covers: [
      "OVMS-AGT-051",
      "OVMS-AGT-052",
      "OVMS-AGT-056",
      "OVMS-AGT-071",
      "OVMS-AGT-072",
      "OVMS-AGT-128",
      "OVMS-API-405",
      "OVMS-API-406",
      "OVMS-API-407",
      "OVMS-API-409",
      "OVMS-API-410",
      "OVMS-FBC-007",
      "OVMS-GST-060",
    ],
    run: (scene) =>
      withLinux(scene, { network: { mode: "none" }, config: CONFIG }, async (linux) => {
        const found = await taken(linux)
        const { died } = await cloned(found)
        await sandboxes(found)
        if (!died)
          skip("no process of the guest has a port of virtio open: it is not seen what becomes of its agent")
      }),
  },
]
