import { AGAIN_PORT, saysAgain } from "../../artifact/says-again.ts"
import { must } from "../../check.ts"
import type { Harness } from "../../subject/harness.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { PORT } from "../../world/peer.ts"
import { CLOSED, HOST, PUBLIC, ROUTER, World } from "../../world/world.ts"
import { answers, linuxOf, output } from "../linux/stage.ts"
import { harnessOf, type Plan, type Scene } from "../runtime/plan.ts"
import { made, type Shared } from "./stage.ts"

/** Where each guest says who it is, and who has come. */
export const GUEST_PORT = 7070
const NETWORK = "suite"
/** What is shared, and needed. */
const GUESTS = "guests in a network"
/** Names that a list has: one that changes, and one that is lost. */
export const NAMES = { changing: "changing.suite.test", lost: "lost.suite.test" } as const
const LIST = [`${CLOSED.four}:${PORT}`, `[${CLOSED.six}]:${PORT}`, ...Object.values(NAMES)]

/** All of them start at once, which takes a busy host long. */
const LIMIT_MS = 600_000

/** A Linux in the network, or with one of its own. */
export interface Guest {
  readonly runtime: Runtime
  readonly id: string
  readonly name: string
  readonly nic: string
  readonly mac: string
  readonly address: string
  readonly ipv6: string | undefined
}

const everywhere = (port: object) => ["0.0.0.0", "::"].map((address) => ({ ...port, address }))
const UDP = everywhere({ guest: AGAIN_PORT, protocol: "udp" })

/** What they are started with: reached by ports, kept from going out, with a list, and with a list and alone. */
const STARTS = {
  open: { name: NETWORK, ports: [...everywhere({ guest: GUEST_PORT }), ...UDP] },
  shut: { name: NETWORK, outbound: false },
  listed: { name: NETWORK, allow: LIST },
  alone: { mode: "user", allow: LIST, ports: UDP.slice(0, 1) },
} as const
type Role = keyof typeof STARTS

/** Four machines with Linux, three of them in one network, on the host of a world. */
export class Guests {
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(
    readonly world: World,
    readonly harness: Harness,
    readonly network: Shared,
    private readonly all: Readonly<Record<Role, Guest>>,
  ) {}

  static async create({ runtime: given }: Scene): Promise<Guests> {
    const manifest = await linuxOf({ runtime: given })
    const own = harnessOf(given)
    const signal = AbortSignal.timeout(LIMIT_MS)
    const world = await World.create()
    const harness = await own.another({}, world.before)
    try {
      await world.outside.peer().listen(...[ROUTER, PUBLIC, CLOSED].flatMap((all) => Object.values(all)))
      await told(world, { [NAMES.changing]: PUBLIC.four, [NAMES.lost]: PUBLIC.lost })
      await harness.start(signal)
      const runtime = given.of(harness).with(signal)
      const network = await made(runtime, { name: NETWORK })
      await world.host.peer().listen(...Object.values(HOST), "127.0.0.1", "::1", ...gatewaysOf(network))
      const begun = (Object.keys(STARTS) as Role[]).map(async (role) => {
        const overrides = { agent: true, name: `suite-${role}`, network: STARTS[role] }
        const body = { manifest, overrides }
        const { instance_id } = await runtime.ask<{ instance_id: string }>("POST /start", "", { body })
        return [role, await guestOf(runtime, instance_id)] as const
      })
      const all = Object.fromEntries(await Promise.all(begun)) as Record<Role, Guest>
      return new Guests(world, harness, network, all)
    } catch (thrown) {
      await harness.close()
      world.close()
      throw thrown
    }
  }

  /** One after the other has them: what one does to a guest is undone before the next one looks, or is heard of. */
  inTurn<T>(signal: AbortSignal, use: (guests: Readonly<Record<Role, Guest>>) => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => use(this.as(signal)))
    this.#turn = mine.catch(() => {})
    return mine
  }

  /** The guests, for as long as a check has. */
  as(signal: AbortSignal): Readonly<Record<Role, Guest>> {
    const bound = ([role, guest]: [string, Guest]) => [
      role,
      { ...guest, runtime: guest.runtime.with(signal) },
    ]
    return Object.fromEntries(Object.entries(this.all).map(bound))
  }

  async close(): Promise<void> {
    await this.harness.close()
    this.world.close()
  }
}

export const gatewaysOf = ({ gateway, ipv6_gateway }: Shared): string[] =>
  ipv6_gateway === undefined ? [gateway] : [gateway, ipv6_gateway]

/** What the host's resolver says from now on. */
export async function told(world: World, names: Readonly<Record<string, string>>): Promise<void> {
  await world.outside.peer().order({ what: "names", address: ROUTER.four, names })
}

/**
 * Says who it is to whoever comes, and, once it has read what that one says, so that none of this is lost, which
 * connections it has; and by UDP what it hears.
 */
const SERVES = `echo ${saysAgain().toString("base64")} | base64 -d >/suite-again; chmod 755 /suite-again
/suite-again >/dev/null 2>&1 </dev/null & printf '#!/bin/sh\\necho of $(cat /suite-name)\\nread -t 5 words\\nnetstat -tn | grep :${GUEST_PORT}\\n' >/suite-serve
chmod 755 /suite-serve; nc -ll -p ${GUEST_PORT} -e /suite-serve >/dev/null 2>&1 </dev/null &
until netstat -lnt | grep -q :${GUEST_PORT}; do sleep 0.1; done`

async function guestOf(runtime: Runtime, id: string): Promise<Guest> {
  await answers(runtime, id)
  const { name, network } = (await runtime.status(id)) as Addressed
  const linux = { runtime, id }
  const shown = () => output(linux, "ip -o addr show")
  const found = await runtime.until(
    `${name} has an address`,
    async () => {
      const [, nic, address] = /^\d+: (?!lo\b)(\S+)\s+inet ([\d.]+)\//m.exec(await shown()) ?? []
      return nic !== undefined && address !== undefined && { nic, address }
    },
    LIMIT_MS,
  )
  const six = network.ipv6_address
  if (six !== undefined) {
    // Whatever a guest does as it gets its other address: it asks for a router once more.
    await output(linux, `cd /proc/sys/net/ipv6/conf/${found.nic}; echo 1 >disable_ipv6; echo 0 >disable_ipv6`)
    const there = async () => new RegExp(`inet6 ${six}/(?!.*tentative)`).test(await shown())
    await runtime.until(`${name} has the address ${six}`, there)
  }
  must(
    network.address === undefined || network.address === found.address,
    `DHCP gives ${name} ${found.address}, and it is said to have ${network.address}`,
  )
  await output(linux, `echo ${name} >/suite-name; ${SERVES}`)
  return { runtime, id, name, mac: network.mac, ipv6: six, ...found }
}

interface Addressed {
  readonly name: string
  readonly network: { readonly mac: string; readonly address?: string; readonly ipv6_address?: string }
}

/** A check of these guests. */
export function guestPlan(
  name: string,
  covers: readonly string[],
  look: (guests: Guests, scene: Scene) => Promise<void>,
): Plan {
  return {
    name: `linux/${name}`,
    profile: "agent",
    slow: true,
    needs: GUESTS,
    covers,
    async run(scene) {
      const guests = await harnessOf(scene.runtime).shared(GUESTS, () => Guests.create(scene))
      await look(guests, scene)
    },
  }
}
