import { PUBLIC } from "../../world/world.ts"
import { answers, output } from "../linux/stage.ts"
import type { Plan, Scene } from "../runtime/plan.ts"
import { type Guest, type Guests, guestPlan, NAMES, told } from "./guests.ts"
import { mustReach, reached } from "./reach.ts"

/** Within which a name is asked for again. */
const AGAIN_MS = 60_000

/** Begins to say a word a second over a connection that stays. */
async function hold(guest: Guest, address: string): Promise<void> {
  const say = "while sleep 1; do echo held; done"
  await output(guest, `{ { ${say}; } | nc ${address} 7000 >/suite-held; } >/dev/null 2>&1 </dev/null & true`)
  await held(guest, 0)
}

/** Returns once more has come back over it than these bytes; how many that are. */
async function held(guest: Guest, than: number): Promise<number> {
  return await guest.runtime.until(`a connection of ${guest.name} that is open goes on`, async () => {
    const size = Number(await output(guest, "wc -c </suite-held"))
    return size > than && size
  })
}

/** What becomes of lists whose names lead elsewhere, and nowhere. */
async function namesAnew(guests: Guests, { signal }: Scene): Promise<void> {
  const { world } = guests
  const { listed, alone } = guests.as(signal)
  const all = [listed, alone]
  const asked = (name: string) => world.outside.peer().contacts.filter(({ from }) => from === name).length
  await guests.inTurn(signal, async () => {
    for (const guest of all) {
      await mustReach(world, guest, { yes: [PUBLIC.four, PUBLIC.lost], no: [PUBLIC.later] })
      await hold(guest, PUBLIC.four)
    }
  })
  await told(world, { [NAMES.changing]: PUBLIC.later })
  const began = performance.now()
  const before = Object.values(NAMES).map((name) => [name, asked(name)] as const)
  await listed.runtime.within("each name is asked for again", AGAIN_MS, async () =>
    before.every(([name, count]) => asked(name) > count),
  )
  for (const guest of all)
    await guest.runtime.within(
      `${guest.name} reaches what a name of its list leads to by now`,
      AGAIN_MS - (performance.now() - began),
      async () => (await guests.inTurn(signal, () => reached(guest, [PUBLIC.later]))).length > 0,
    )
  await guests.inTurn(signal, async () => {
    const wanted = { yes: [PUBLIC.four, PUBLIC.lost, PUBLIC.later] }
    for (const guest of all) await mustReach(world, guest, wanted)
    await guests.harness.kill()
    await guests.harness.start(signal)
    for (const guest of all) {
      await answers(guest.runtime, guest.id)
      await held(guest, await held(guest, 0))
    }
  })
}

// Beside those that need the guests: for the most part it lets them have their turn.
const { needs: _, ...beside } = guestPlan("lists/names-anew", ["OVMS-NET-022", "OVMS-API-493"], namesAnew)

export const namesAnewPlans: readonly Plan[] = [{ ...beside, waits: true }]
