import { must, skip } from "../../check.ts"
import { stopped } from "../../subject/processes.ts"
import { harnessOf, type Plan } from "../runtime/plan.ts"
import { serving } from "./owners.ts"
import {
  type Hosted,
  hostState,
  interfaces,
  listed,
  MAKE,
  made,
  mustBeAsBefore,
  onItsHost,
  REMOVE,
} from "./stage.ts"

const NAME = "suite"
const WITHOUT_RIGHTS = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]

/** Whoever may not change the host's network is refused before anything is changed. */
async function withoutRights({ runtime, world, ...scene }: Hosted): Promise<void> {
  const before = hostState(world)
  const harness = await harnessOf(runtime).another({}, `${world.before} ${WITHOUT_RIGHTS.join(" ")}`)
  try {
    await harness.start(scene.signal)
    const other = runtime.of(harness)
    await other.refused(MAKE, "OVM_PERMISSION_DENIED", "", { body: { name: NAME } })
    const { networks } = await other.ask<{ networks: readonly object[] }>("GET /networks")
    must(networks.length === 0, "a network is listed that was refused")
  } finally {
    await harness.close()
  }
  mustBeAsBefore(world, before, "a network that was refused has changed the host")
}

/** No network is removed that somebody is in, and nothing is left of one that was. */
async function removed({ runtime, world, create }: Hosted): Promise<void> {
  const before = hostState(world)
  const { interface: bridge } = await made(runtime, { name: NAME })
  must(interfaces(world).includes(bridge), `the host has no interface ${bridge}`)
  const id = await create({ network: { name: NAME } })
  await runtime.refused(REMOVE, "OVM_NETWORK_IN_USE", NAME)
  await runtime.ask("DELETE /instances/{instance_id}", id, { query: "force=true" })
  world.host.run("ip", "link", "add", "name", "another", "type", "veth")
  const join = `ip link set another master ${bridge} 2>/dev/null && echo joined; true`
  const joined = world.host.run("sh", "-c", join) !== ""
  // What is no bridge is nothing that others connect to.
  if (joined) await runtime.refused(REMOVE, "OVM_NETWORK_IN_USE", NAME)
  await listed(runtime, { name: NAME })
  world.host.run("ip", "link", "delete", "another")
  await runtime.ask(REMOVE, NAME)
  mustBeAsBefore(world, before, "something of a network that was removed is left on the host")
  must((await serving(world.host.pid, "udp", 67)).length === 0, "somebody serves a network that was removed")
}

/** A network outlives its runtime, and what is missing of it is made when the next one starts. */
async function outlives({ runtime, world, signal }: Hosted): Promise<void> {
  const harness = harnessOf(runtime)
  const before = await made(runtime, { name: NAME })
  const state = hostState(world)
  await harness.kill()
  mustBeAsBefore(world, state, "a network has changed as its runtime was killed")
  await harness.start(signal)
  const whole = async () => !(await listed(runtime, before)).degraded
  await runtime.until("the network is whole", whole)
  mustBeAsBefore(world, state, "a network has changed as its runtime was started again")
  await harness.end(signal)
  mustBeAsBefore(world, state, "a network has changed as its runtime ended")
  world.host.run("ip", "link", "delete", before.interface)
  await harness.start(signal)
  await runtime.until("the network is whole again", whole)
  const after = await listed(runtime, before)
  for (const name of ["subnet", "gateway", "ipv6_subnet", "interface"] as const)
    must(after[name] === before[name], `${name} of a network that was made again is ${after[name]}`)
  const addresses = world.host.run("ip", "-o", "addr", "show", "dev", after.interface)
  must(
    addresses.includes(` ${after.gateway}/`),
    "the host has not its address in a network that was made again",
  )
}

/** What serves addresses and names does so again once it was stopped, or has ended, and that is told meanwhile. */
async function servedAgain({ runtime, world }: Hosted): Promise<void> {
  const harness = harnessOf(runtime)
  const network = await made(runtime, { name: NAME })
  const servers = () => serving(world.host.pid, "udp", 67)
  const before = await runtime.until("somebody serves addresses", async () => {
    const found = await servers()
    return found.length > 0 && found
  })
  // A runtime that serves them itself ends with it.
  if (before.includes(harness.pid)) return
  const again = {
    STOP: async () => (await servers()).length > 0 && stopped(await servers()).length === 0,
    KILL: async () => (await servers()).some((pid) => !before.includes(pid)),
  }
  for (const name of ["STOP", "KILL"] as const) {
    // By whoever is root there, whose they may be; what a signal does is done a moment later.
    world.host.run("sh", "-c", `kill -${name} ${before.join(" ")}; sleep 0.1`)
    await runtime.within("a network that nobody serves is said to be so", 2000, async () => {
      return (await listed(runtime, network)).degraded || (await again[name]())
    })
    await runtime.within(`addresses and names are served again after SIG${name}`, 10_000, again[name])
    await runtime.until("the network is whole", async () => !(await listed(runtime, network)).degraded)
  }
}

export const networkLifePlans: readonly Plan[] = [
  {
    name: "networks/made-and-removed",
    covers: ["OVMS-NET-003", "OVMS-NET-013", "OVMS-CNF-040"],
    run: (scene) =>
      onItsHost(scene, async (hosted) => {
        try {
          hosted.world.host.run(...WITHOUT_RIGHTS, "true")
        } catch {
          skip("this host has no setpriv, or lets the suite give up no rights")
        }
        await removed(hosted)
        await withoutRights(hosted)
      }),
  },
  {
    name: "networks/outlive-their-runtime",
    covers: ["OVMS-NET-015"],
    run: (scene) => onItsHost(scene, outlives),
  },
  {
    name: "networks/served-again",
    covers: ["OVMS-NET-016"],
    waits: true,
    run: (scene) => onItsHost(scene, servedAgain),
  },
]
