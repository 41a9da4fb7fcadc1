import { dlopen, FFIType, ptr } from "bun:ffi"

/** capset(2): its version, and the bit of CAP_NET_ADMIN. */
const VERSION = 0x20080522
const NET_ADMIN = 1 << 12

/**
 * Takes this process's right to change the host's network, as of somebody who is not root, until the function that it
 * gives is called: what tests ask for at random is not done to the host that they run on.
 */
export function withoutNetworkRights(): () => void {
  const { symbols } = dlopen("libc.so.6", {
    capget: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
    capset: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  })
  const header = new Uint32Array([VERSION, 0])
  // Effective, permitted and inheritable, the lower and the upper half of each.
  const before = new Uint32Array(6)
  if (symbols.capget(ptr(header), ptr(before)) !== 0) throw new Error("capget(2) failed")
  const set = (rights: Uint32Array) => {
    if (symbols.capset(ptr(header), ptr(rights)) !== 0) throw new Error("capset(2) failed")
  }
  const without = before.slice()
  without[0] = (before[0] ?? 0) & ~NET_ADMIN
  set(without)
  return () => set(before)
}
