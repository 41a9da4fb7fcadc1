import { closeSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../../errors.ts"
import { textIfPresent } from "../../../files/present.ts"
import { descriptorOf } from "../../../host/libc.ts"
import { endWithHolder, makeTapFor } from "../../../host/tap.ts"
import { runProgram } from "../../../network/named/programs.ts"

// In a jail nobody may make an interface of the host. So one is made ahead, for the jail's user to open, and is then
// made to end with whoever has it open, as one that Firecracker makes itself does.

/** In the jail's base: the name of an interface that might stay. */
const NOTE = "tap"
const DEVICE = "/dev/net/tun"

/** Has the interface `name` be there for the jail in `base` while `open` has Firecracker, `pid`, open it. */
export async function withTap(
  {
    base,
    uid,
    pid,
    name,
  }: { readonly base: string; readonly uid: number; readonly pid: number; readonly name: string },
  open: () => Promise<unknown>,
): Promise<void> {
  writeFileSync(join(base, NOTE), name, { mode: 0o600 })
  makeTapFor(name, uid)
  await open()
  const fd = holding(pid, name)
  if (fd === undefined)
    throw new OvmError("OVM_HOST_FAILED", `the interface ${name} cannot be made to end with its machine`)
  try {
    endWithHolder(fd)
  } finally {
    closeSync(fd)
  }
  rmSync(join(base, NOTE), { force: true })
}

/** Removes an interface that was left. Throws OVM_HOST_FAILED. */
export async function dropTap(base: string): Promise<void> {
  const name = textIfPresent(join(base, NOTE))
  if (name === undefined) return
  if (readdirSync("/sys/class/net").includes(name)) await runProgram("ip", ["link", "del", "dev", name])
  rmSync(join(base, NOTE), { force: true })
}

/** A descriptor of this process for the interface that `pid` has open. */
function holding(pid: number, name: string): number | undefined {
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (!readlinkSync(`/proc/${pid}/fd/${fd}`).endsWith(DEVICE)) continue
      if (new RegExp(`^iff:\\s*${name}$`, "m").test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1")))
        return descriptorOf(pid, Number(fd))
    } catch {
      // It was closed meanwhile.
    }
  }
  return undefined
}
