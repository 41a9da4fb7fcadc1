import { readFile } from "node:fs/promises"
import { OvmError } from "../errors.ts"

/**
 * Bytes that a VMM locks beside its guest's memory: its program, its heap and, without KVM, the code that it translates
 * into.
 */
const OVERHEAD = 512 << 20
/** CAP_IPC_LOCK (capabilities(7)). */
const MAY_LOCK = 1n << 14n

/** Bytes that this process and those that it starts may lock; infinite for one that may lock all (mlock(2)). */
export async function lockLimit(folder = "/proc/self"): Promise<number> {
  const [status, limits] = await Promise.all(
    ["status", "limits"].map((name) => readFile(`${folder}/${name}`, "utf8")),
  )
  const capabilities = /^CapEff:\s+([0-9a-f]+)$/m.exec(status ?? "")?.[1] ?? "0"
  if (BigInt(`0x${capabilities}`) & MAY_LOCK) return Number.POSITIVE_INFINITY
  const limit = /^Max locked memory\s+(\d+|unlimited)/m.exec(limits ?? "")?.[1]
  return limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit ?? 0)
}

/** Throws OVM_UNSUPPORTED if a machine with `memory` bytes could not be locked (OVMS-SNP-102). */
export async function assertLockable(snapshot: string, memory: number, limit?: number): Promise<void> {
  const allowed = limit ?? (await lockLimit())
  const needed = memory + OVERHEAD
  if (allowed >= needed) return
  const reason = `RLIMIT_MEMLOCK is ${allowed} bytes, and ${needed} are to be locked`
  throw new OvmError("OVM_UNSUPPORTED", `/ram/mlock_required of the snapshot ${snapshot}: ${reason}`, {
    detail: [{ pointer: "/ram/mlock_required", reason }],
    hint: "ulimit -l before the daemon starts, or LimitMEMLOCK of its unit",
  })
}
