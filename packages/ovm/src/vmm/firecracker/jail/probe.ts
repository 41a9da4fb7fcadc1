import { chownSync, readFileSync } from "node:fs"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { OvmError } from "../../../errors.ts"
import { bootProbe, probeFiles } from "../probe.ts"
import { type Jailer, leaveJail, makeJail } from "./place.ts"

/** Of capabilities(7): to look into a process of another user, as its disk and its memory. */
const CAP_SYS_PTRACE = 19

/** Wall time: where KVM was seen to work before, and the host may be busy. */
const BOUND_MS = 60_000

/**
 * Runs a guest of a few instructions in a jail: on a host without the rights, on a file system without devices, or with
 * a Firecracker that is not linked statically, that cannot be. Throws what went wrong.
 */
export async function tryJail(binary: string, jailer: Jailer, folder: string): Promise<void> {
  if (!mayTrace()) throw new OvmError("OVM_PERMISSION_DENIED", "the daemon lacks CAP_SYS_PTRACE")
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const place = await mkdtemp(join(folder, "probe-"))
  try {
    const { folder: inside, jail } = await makeJail(binary, jailer, place)
    for (const [name, content] of probeFiles()) {
      await writeFile(join(inside, name), content)
      chownSync(join(inside, name), jail.uid, jail.uid)
    }
    await bootProbe(jail.argv, place, BOUND_MS)
  } finally {
    await leaveJail(place).catch(() => {})
    await rm(place, { recursive: true, force: true })
  }
}

function mayTrace(): boolean {
  const set = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0"
  return ((BigInt(`0x${set}`) >> BigInt(CAP_SYS_PTRACE)) & 1n) === 1n
}
