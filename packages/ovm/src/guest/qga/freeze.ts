import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { Refused } from "./channel.ts"
import { type QgaEnd, type QgaWork, valuesOf } from "./work.ts"

const USUAL_S = 30
const MOST_S = 60
const LATE = 2

/** `freeze` of spec/agent.md: held until input ends, the stream does, or the seconds are over. */
export async function freeze({ line, texts, end }: QgaWork): Promise<QgaEnd> {
  const seconds = Math.min(Number(valuesOf(texts, "seconds")[0] ?? USUAL_S), MOST_S)
  const count = await line.ask("guest-fsfreeze-freeze")
  if (typeof count !== "number" || !Number.isSafeInteger(count))
    throw new Refused("it says nothing of what it has frozen")
  const over = new AbortController()
  const late = sleep(seconds * 1000, true, { signal: over.signal }).catch(() => false)
  const ended = (async () => {
    await end.say("stdout", Buffer.from(`frozen ${count}\n`))
    for await (const _ of end.input());
    return false
  })()
  const isLate = await Promise.race([late, ended])
  over.abort()
  await line.ask("guest-fsfreeze-thaw").catch((thrown) => {
    if (thrown instanceof OvmError) throw thrown
  })
  return { kind: "status", value: isLate ? LATE : 0 }
}
