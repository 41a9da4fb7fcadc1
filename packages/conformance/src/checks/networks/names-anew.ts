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
  const begin = `{ { ${say}; } | nc ${address} 7000 >/suite-held; } >/dev/null 2>&1 </dev/null & true`
  // There before it is looked at, however late what is begun comes to its turn.
  await output(guest, `: >/suite-held; ${begin}`)
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
async function namesAnew({ world, harness }: Guests, all: readonly Guest[], { signal, runtime }: Scene) {
  const asked = (name: string) => world.outside.peer().contacts.filter(({ from }) => from === name).length
  for (const guest of all) {
    await mustReach(world, guest, { yes: [PUBLIC.four, PUBLIC.lost], no: [PUBLIC.later] })
    await hold(guest, PUBLIC.four)
  }
  await told(world, { [NAMES.changing]: PUBLIC.later })
  const began = performance.now()
  const before = Object.values(NAMES).map((name) => [name, asked(name)] as const)
  await runtime.within("each name is asked for again", AGAIN_MS, async () =>
    before.every(([name, count]) => asked(name) > count),
  )
  for (const guest of all)
    await runtime.within(
      `${guest.name} reaches what a name of its list leads to by now`,
      AGAIN_MS - (performance.now() - began),
      async () => (await reached(guest, [PUBLIC.later])).length > 0,
    )
  for (const guest of all) await mustReach(world, guest, { yes: [PUBLIC.four, PUBLIC.lost, PUBLIC.later] })
  await harness.kill()
  await harness.start(signal)
  for (const guest of all) {
    await answers(guest.runtime, guest.id)
    await held(guest, await held(guest, 0))
  }
}

export const namesAnewPlans: readonly Plan[] = [
  guestPlan("lists/names-anew", ["OVMS-NET-022", "OVMS-API-493"], (guests, scene) =>
    guests.inTurn(scene.signal, ({ listed, alone }) => namesAnew(guests, [listed, alone], scene)),
  ),
]
