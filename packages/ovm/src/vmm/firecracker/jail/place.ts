import { chownSync, existsSync, mkdirSync, realpathSync, rmSync, statSync, symlinkSync } from "node:fs"
import { basename, join } from "node:path"
import { OvmError, toOvmError } from "../../../errors.ts"
import { makePipe } from "../../../host/libc.ts"
import { JAILED } from "../../process/jailed.ts"
import type { UidRange } from "./settings.ts"
import { dropTap } from "./tap.ts"
import { claimUid, releaseUid } from "./uids.ts"

/** In the machine's directory: the jailer's base, which has nothing but what the machine's own Firecracker uses. */
const BASE = "jail"
/** No more than its keeper leaves it, whose bound a root without CAP_SYS_RESOURCE cannot raise again. */
const DESCRIPTORS = 1024
/** In the jail, a named pipe: nothing of the host is there by which its standard error had a name. */
export const LOG = "log"

/** What the jailer takes for a name, and gives on to the program: that of the instance, as of its folder. */
function nameOf(directory: string): string {
  return basename(directory)
    .replace(/[^0-9A-Za-z]/g, "-")
    .slice(0, 64)
}

/** What jails are made with. */
export interface Jailer {
  readonly path: string
  readonly uids: UidRange
}

/** Where a Firecracker works: in its machine's directory, or in a jail there. */
export interface FirecrackerPlace {
  /** As it is seen from outside. */
  readonly folder: string
  readonly jail?: Jail
}

/** One in a jail. */
export interface JailedPlace extends FirecrackerPlace {
  readonly jail: Jail
}

export interface Jail {
  /** What nobody in it sees, and goes with it. */
  readonly base: string
  /** Of its user and group alike. */
  readonly uid: number
  /** The command line that runs the program in it, but for what the program is given. */
  readonly argv: readonly string[]
  /** The program's copy in it, which nobody needs once it runs. */
  readonly program: string
}

/**
 * Makes an empty jail in `directory` for the program `binary`, with a user id of its own; whatever an earlier life has
 * left of one goes first. Throws OVM_TOO_MANY without a user id, OVM_VMM_FAILED.
 */
export async function makeJail(
  binary: string,
  { path, uids }: Jailer,
  directory: string,
): Promise<JailedPlace> {
  await leaveJail(directory)
  try {
    const base = join(realpathSync(directory), BASE)
    mkdirSync(base, { mode: 0o700 })
    const uid = await claimUid(uids, base)
    const name = basename(realpathSync(binary))
    const id = nameOf(directory)
    const inside = join(name, id, "root")
    const folder = join(base, inside)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    chownSync(folder, uid, uid)
    symlinkSync(join(BASE, inside), join(directory, JAILED))
    const log = join(folder, LOG)
    if (!makePipe(log)) throw new Error(`${log} could not be made`)
    chownSync(log, uid, uid)
    const ids = ["--id", id, "--uid", `${uid}`, "--gid", `${uid}`]
    const bounds = ["--resource-limit", `no-file=${DESCRIPTORS}`]
    const argv = [path, ...ids, ...bounds, "--exec-file", binary, "--chroot-base-dir", base, "--"]
    return { folder, jail: { base, uid, argv, program: join(folder, name) } }
  } catch (thrown) {
    await leaveJail(directory).catch(() => {})
    const { code, message, hint } = toOvmError(thrown)
    throw new OvmError(
      code === "OVM_TOO_MANY" ? code : "OVM_VMM_FAILED",
      `no jail in ${directory}: ${message}`,
      {
        cause: thrown,
        ...(hint !== undefined && { hint }),
      },
    )
  }
}

/**
 * Removes the jail of a machine whose Firecracker has ended, with all that is in it, and gives its user id back. Throws
 * OVM_VMM_FAILED where something of it stays.
 */
export async function leaveJail(directory: string): Promise<void> {
  const base = join(directory, BASE)
  if (!existsSync(base)) {
    rmSync(join(directory, JAILED), { force: true })
    return
  }
  try {
    await dropTap(base)
    const uid = statSync(join(directory, JAILED), { throwIfNoEntry: false })?.uid
    const claimed = realpathSync(base)
    rmSync(join(directory, JAILED), { force: true })
    // Links in it are not followed.
    rmSync(base, { recursive: true, force: true })
    if (uid !== undefined) releaseUid(uid, claimed)
  } catch (cause) {
    const { message } = toOvmError(cause)
    throw new OvmError(
      "OVM_VMM_FAILED",
      `${base}, the jail of an earlier life, cannot be removed: ${message}`,
      {
        cause,
      },
    )
  }
}
