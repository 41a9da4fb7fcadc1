import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../../errors.ts"
import { guardedSync } from "../../../files/guarded.ts"
import { lock } from "../../../host/lock.ts"
import { pids } from "../../../host/process-stat.ts"
import type { UidRange } from "./settings.ts"

/**
 * One of all daemons of this host, in which a link with a user id's number leads to the jail that has it. What leads to
 * nothing, as after a machine that was removed, is nobody's.
 */
const CLAIMS = "/run/ovm-jails"
const LOCK = "lock"

/**
 * A user id that no other machine of this host has, nor any of its processes, for the folder `jail`, which is there.
 * Throws OVM_TOO_MANY if all are taken, and what making files throws.
 */
export async function claimUid({ from, count }: UidRange, jail: string, claims = CLAIMS): Promise<number> {
  guardedSync(() => mkdirSync(claims, { recursive: true, mode: 0o700 }))
  using _ = await lock(join(claims, LOCK), "exclusive")
  return guardedSync(() => {
    const taken = usersOfProcesses()
    for (const name of readdirSync(claims)) if (existsSync(join(claims, name))) taken.add(Number(name))
    for (let uid = from; uid < from + count; uid++) {
      if (taken.has(uid)) continue
      const claim = join(claims, `${uid}`)
      rmSync(claim, { force: true })
      symlinkSync(jail, claim)
      return uid
    }
    throw new OvmError("OVM_TOO_MANY", `all ${count} user ids for jails, from ${from} on, are taken`, {
      hint: "daemon.json: jail.count",
    })
  })
}

/** Gives it back, if `jail` has it. */
export function releaseUid(uid: number, jail: string, claims = CLAIMS): void {
  const claim = join(claims, `${uid}`)
  try {
    if (readlinkSync(claim) === jail) rmSync(claim)
  } catch {
    // It had none, or was moved: what leads to nothing is nobody's.
  }
}

function usersOfProcesses(): Set<number> {
  return new Set(
    pids().flatMap((pid) => {
      const found = statSync(`/proc/${pid}`, { throwIfNoEntry: false })
      return found ? [found.uid] : []
    }),
  )
}
