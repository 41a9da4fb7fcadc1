import { must } from "../../check.ts"
import { PORT } from "../../world/peer.ts"
import type { World } from "../../world/world.ts"
import { output } from "../linux/stage.ts"
import { GUEST_PORT, type Guest } from "./guests.ts"

/** Tries to connect to each of these addresses at once, to the port of a world unless told: those that were there. */
export async function reached(
  guest: Guest,
  addresses: readonly string[],
  port = PORT,
): Promise<readonly string[]> {
  const tries = addresses.map(
    (one) => `{ nc -w 4 ${one} ${port} -e /bin/true >/dev/null 2>&1 && echo ${one}; } &`,
  )
  return (await output(guest, `{ ${tries.join(" ")} wait; }`)).split("\n").filter(Boolean).sort()
}

/** Fails unless a guest reaches these, and none of those; whoever is reached must not have heard of it either. */
export async function mustReach(
  world: World,
  guest: Guest,
  { yes = [], no = [] }: { readonly yes?: readonly string[]; readonly no?: readonly string[] },
): Promise<void> {
  const peers = [world.outside.peer(), world.host.peer()]
  const before = peers.map(({ contacts }) => contacts.length)
  const found = await reached(guest, [...yes, ...no])
  const came = await Promise.all(peers.map((peer, at) => peer.heardOf(before[at] ?? 0)))
  const heard = came.flat().map(({ address }) => address)
  for (const address of no)
    must(!found.includes(address) && !heard.includes(address), `${guest.name} reaches ${address}`)
  for (const address of yes) must(found.includes(address), `${guest.name} does not reach ${address}`)
}

/** What a guest is told by another one at its address. */
export async function toldBy(guest: Guest, address: string): Promise<string> {
  return await output(guest, `timeout 20 nc -w 9 ${address} ${GUEST_PORT} </dev/null 2>/dev/null; true`)
}
