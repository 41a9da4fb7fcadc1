import { isObject } from "../../objects.ts"
import { type QgaChannel, Refused } from "./channel.ts"
import { readOut, writeIn } from "./copy.ts"
import { executeByQga } from "./exec.ts"
import { GuestFile } from "./files.ts"
import { freeze } from "./freeze.ts"
import { type QgaEnd, type QgaWork, valuesOf } from "./work.ts"

const DONE: QgaEnd = { kind: "status", value: 0 }
/** By how much a clock that was set may be off: setting the hardware's besides may have failed, and taken its time. */
const CLOSE_NS = 5e9
const POOL = "/dev/urandom"

/** What it does of what ours does; the rest it refuses, as an agent of before that did. */
const DOES: Readonly<Record<string, (work: QgaWork) => Promise<QgaEnd>>> = {
  exec: executeByQga,
  read: readOut,
  write: writeIn,
  freeze,
  time: setClock,
  reseed: feed,
  shutdown: powerOff,
}

/** Throws Refused, OVM_AGENT_UNAVAILABLE. */
export async function doByQga(work: QgaWork): Promise<QgaEnd> {
  const [what = ""] = work.texts
  const does = Object.hasOwn(DOES, what) ? DOES[what] : undefined
  if (!does) throw new Refused(`QEMU's guest agent knows nothing of ${what}`)
  return await does(work)
}

async function setClock({ line, texts }: QgaWork): Promise<QgaEnd> {
  const time = Number(valuesOf(texts, "time")[0])
  try {
    await line.ask("guest-set-time", { time })
  } catch (thrown) {
    // It has no hardware clock, or no hwclock(8).
    const now = await line.ask("guest-get-time")
    if (!(thrown instanceof Refused) || typeof now !== "number" || Math.abs(now - time) > CLOSE_NS)
      throw thrown
  }
  return DONE
}

/** Into the pool; nothing but the kernel's own change of its generation has that used at once. */
async function feed({ line, texts }: QgaWork): Promise<QgaEnd> {
  const [seed = ""] = valuesOf(texts, "seed")
  const pool = await GuestFile.open(line, POOL, "w")
  try {
    await pool.write(Buffer.from(seed, "hex"))
  } finally {
    await pool.close()
  }
  return DONE
}

/** It does not answer that. */
async function powerOff({ line }: QgaWork): Promise<QgaEnd> {
  line.ask("guest-shutdown", { mode: "powerdown" }).catch(() => {})
  return DONE
}

/** What it says of itself; throws Refused. Frozen file systems of whoever spoke to it before are thawed. */
export async function greet(line: QgaChannel): Promise<string | undefined> {
  const info = await line.ask("guest-info")
  const version = isObject(info) ? info.version : undefined
  const state = await line.ask("guest-fsfreeze-status").catch(() => "thawed")
  if (state === "frozen") await line.ask("guest-fsfreeze-thaw")
  return typeof version === "string" && /^[\w.+~:-]{1,64}$/.test(version) ? version : undefined
}
