import { must, skip } from "../../check.ts"
import { imageOfLinux } from "../../foreign/of-linux.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import { imported } from "../import/stage.ts"
import { aside } from "../runtime/aside.ts"
import type { Plan, Scene } from "../runtime/plan.ts"
import { answers, linuxOf, output, READY_MS } from "./stage.ts"

// A container image of the Linux that the suite was given: imported by the wrapper, and booted by the runtime.

const PLACES = ["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm"]

/** What the image is for: it says what it finds, and ends. */
const MAIN = `
for place in ${PLACES.join(" ")}; do grep -q " $place " /proc/mounts && echo "MOUNTED $place."; done
[ "$(cat /proc/1/comm)" = sh ] || echo "FIRST another."
until ip -4 -o addr show scope global | grep -q inet; do sleep 0.1; done; echo "ADDRESS there."
set -- $(df -k / | tail -n 1); device=$(stat -c %d /)
echo "GROWN $2 of $(($(cat /sys/dev/block/$((device / 256)):$((device % 256))/size) / 2))."
read line || echo "INPUT none."
echo "WORD $GREETING." >&2
exit 7`

const CONFIG = {
  Entrypoint: ["/bin/sh", "-c", MAIN],
  Env: ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "GREETING=hello there"],
}

/** It does not end by itself, but by a signal; its output goes to the console, and it has no input. */
const COMMAND = [
  "/bin/sh",
  "-c",
  'read line || echo "COMMAND has no input."; echo "COMMAND errs." >&2; kill -9 $$',
]

/** A machine that was a container image, by its path, and what its kernel is told there. */
interface Container extends Scene {
  readonly manifest: string
  readonly args: string
}

/** How a machine has ended by itself, which boots first. */
function ended(runtime: Runtime, id: string): Promise<Instance> {
  const look = async () => {
    const instance = await runtime.status(id)
    return /^(stopped|failed)$/.test(instance.state) && instance
  }
  return runtime.until("a machine ends with what it is for", look, READY_MS)
}

/** What its guest has made ready for the command, and how the machine has ended. */
async function beginsMain({ runtime, start, manifest, args }: Container): Promise<void> {
  const id = await start({ manifest, overrides: { args, network: { mode: "user" } } })
  const { exit } = await ended(runtime, id)
  const said = await runtime.logs(id)
  for (const place of PLACES)
    must(said.includes(`MOUNTED ${place}.`), `${place} is not mounted: ${said.slice(-500)}`)
  for (const words of ["FIRST another.", "ADDRESS there.", "INPUT none.", "WORD hello there."])
    must(
      said.includes(words),
      `what the image names does not say ${words} on the console: ${said.slice(-500)}`,
    )
  const [, size = 0, disk = 0] = /GROWN (\d+) of (\d+)\./.exec(said) ?? []
  must(Number(size) > 0.8 * Number(disk), `the file system has ${size} KiB of a disk of ${disk} KiB`)
  must(exit?.reason === "result" && exit.status === 7, `it has ended by ${exit?.reason}, ${exit?.status}`)
}

/** The same machine told not to, with a command of the start's, which a signal ends. */
async function beginsAnother({ runtime, start, manifest, args }: Container): Promise<void> {
  const overrides = { args: `${args} ovm.main=off`, network: { mode: "none" } }
  const idle = await start({ manifest, overrides: { ...overrides, agent: true } })
  const id = await start({ manifest, overrides: { ...overrides, exec: { command: COMMAND } } })
  const { exit } = await ended(runtime, id)
  const said = await runtime.logs(id)
  for (const words of ["COMMAND has no input.", "COMMAND errs."])
    must(said.includes(words), `a command that a machine is for does not say ${words} on the console`)
  must(exit?.reason === "result" && exit.status === 127, `it has ended by ${exit?.reason}, ${exit?.status}`)
  must(!said.includes("MOUNTED"), "what the image names was begun although the kernel was told not to")
  await answers(runtime, idle)
  // All else is done.
  const mounts = await output({ runtime, id: idle }, "cat /proc/mounts")
  for (const place of PLACES) must(mounts.includes(` ${place} `), `with ovm.main=off ${place} is not mounted`)
  must(!(await runtime.logs(idle)).includes("MOUNTED"), "with ovm.main=off what the image names was begun")
}

/** One whose guest has no port to hand its result back by. */
async function saysItsOutcome({ runtime, start, manifest, args }: Container): Promise<void> {
  const exec = { command: ["sh", "-c", "rm -f /dev/port; exit 9"] }
  const overrides = { args: `${args} ovm.main=off`, network: { mode: "none" }, exec }
  const { exit } = await ended(runtime, await start({ manifest, overrides }))
  must(exit?.reason === "result" && exit.status === 9, `it has ended by ${exit?.reason}, ${exit?.status}`)
}

export const containerPlans: readonly Plan[] = [
  {
    name: "linux/container",
    profile: "agent",
    slow: true,
    covers: ["OVMS-IMP-051", "OVMS-IMP-080", "OVMS-AGT-038", "OVMS-AGT-039", "OVMS-AGT-140"],
    async run(scene) {
      const linux = await linuxOf(scene)
      const wrapper =
        scene.runtime.wrapper ?? skip("the suite was given no wrapper of this runtime: see --wrapper")
      const { image, boot, args } = await imageOfLinux(linux, scene.folder, CONFIG)
      const { layout, manifest } = await imported({ ...scene, wrapper }, image, { boot })
      await aside(scene, async (own) => {
        const container = { ...own, manifest: layout, args: `${args} ${manifest.kernel.args}` }
        await beginsMain(container)
        await beginsAnother(container)
        await saysItsOutcome(container)
      })
    },
  },
]
