import { must } from "../../check.ts"
import { alive, largest, signal as send } from "../../subject/processes.ts"
import type { Network } from "../../subject/runtime.ts"
import { PUBLIC } from "../../world/world.ts"
import { harnessOf, type Plan } from "../runtime/plan.ts"
import { processesOf } from "../runtime/unreachable.ts"
import { type Hosted, hostState, interfaces, listed, made, mustBeAsBefore, onItsHost } from "./stage.ts"

const NAME = "suite"

interface Joined extends Network {
  readonly name?: string
  readonly address?: string
  readonly allow?: readonly string[]
}

const networkOf = async ({ runtime }: Hosted, id: string): Promise<Joined> =>
  (await runtime.status(id)).network ?? { mode: "missing" }

/** What is said of a machine in a network, and again once it was started again. */
async function told(hosted: Hosted): Promise<void> {
  const { runtime, boot } = hosted
  const allow = [`${PUBLIC.four}:80`]
  const network = { name: NAME, allow, ports: [{ guest: 80 }] }
  const id = await boot("", { network })
  const first = await networkOf(hosted, id)
  must(first.mode === "bridge" && first.name === NAME, `it is said to be in ${first.mode} ${first.name}`)
  must(first.outbound === true, `its outbound is ${first.outbound}`)
  must(first.allow?.join() === allow.join(), `its allow is ${first.allow}`)
  must(first.ports?.length === 1 && first.ports[0]?.guest === 80, "its port is not listed")
  const shared = await listed(runtime, { name: NAME })
  const member = shared.instances.find(({ instance_id }) => instance_id === id)
  must(
    member && member.address === first.address,
    `the network has it at ${member?.address}, it ${first.address}`,
  )
  const shut = await networkOf(hosted, await boot("", { network: { name: NAME, outbound: false } }))
  must(shut.outbound === false && shut.allow === undefined, "outbound that is false is not told")
  must(shut.mac !== first.mac && shut.address !== first.address, "two machines have one address")
  await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
  await runtime.reaches(id, "stopped")
  await runtime.ask("POST /instances/{instance_id}/start", id)
  await runtime.reaches(id, "running")
  const again = await networkOf(hosted, id)
  const same = JSON.stringify(again) === JSON.stringify(first)
  must(same, `a machine that was started again is in ${JSON.stringify(again)}`)
}

/** Nothing is left of a connection whose VMM was killed while there was no runtime. */
async function leavesNothing({ runtime, world, boot, signal }: Hosted): Promise<void> {
  const harness = harnessOf(runtime)
  const before = interfaces(world)
  const id = await boot("", { network: { name: NAME, ports: [{ guest: 80 }] } })
  const state = interfaces(world)
  must(state.length > before.length, "a machine in a network has no interface on the host")
  await harness.kill()
  send([largest(alive(await processesOf(id)))], "SIGKILL")
  await runtime.until(
    "nothing is left of the connection of a VMM that was killed",
    async () => interfaces(world).length === before.length,
  )
  await harness.start(signal)
  await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
}

/** A clone is in no network, whoever asks for that. */
async function noCloneIn({ runtime }: Hosted, id: string): Promise<void> {
  await runtime.ask("POST /snapshot", "", { body: { instance_id: id, tag: "suite-joined" } })
  const overrides = { network: { name: NAME } }
  const body = { manifest: "localhost/conformance:suite-joined", overrides }
  const { detail } = await runtime.refused("POST /start", "OVM_UNSUPPORTED", "", { body })
  const pointers = (Array.isArray(detail) ? detail : []).map(({ pointer }) => String(pointer))
  must(
    pointers.some((one) => /^\/?network\b/.test(one)),
    `detail does not name network: ${pointers.join(", ") || "nothing"}`,
  )
}

export const networkMachinePlans: readonly Plan[] = [
  {
    name: "networks/machine",
    covers: ["OVMS-NET-012", "OVMS-NET-014"],
    run: (scene) =>
      onItsHost(scene, async (hosted) => {
        await made(hosted.runtime, { name: NAME })
        await told(hosted)
        await leavesNothing(hosted)
      }),
  },
  {
    name: "networks/fork",
    profile: "snapshot",
    covers: ["OVMS-API-451", "OVMS-NET-011"],
    run: (scene) =>
      onItsHost(scene, async (hosted) => {
        const { runtime, boot, world } = hosted
        await made(runtime, { name: NAME })
        const id = await boot("", { network: { name: NAME } })
        const before = hostState(world)
        const { instances = [] } = await runtime.ask<{ instances?: readonly { instance_id: string }[] }>(
          "POST /instances/{instance_id}/fork",
          id,
          { body: { count: 1 } },
        )
        const child = instances[0]?.instance_id ?? ""
        await runtime.reaches(child, "running")
        const { mode, name } = await networkOf(hosted, child)
        must(mode !== "bridge" && name === undefined, `a child is in the network ${name} of its source`)
        const members = (await listed(runtime, { name: NAME })).instances
        must(
          !members.some(({ instance_id }) => instance_id === child),
          "a network has a child of its machine",
        )
        mustBeAsBefore(world, before, "a child has a connection to a network of the host")
        await noCloneIn(hosted, id)
      }),
  },
]
