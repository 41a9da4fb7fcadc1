/**
 * Node's fs/promises, loaded when it is first called for: that takes half a millisecond, which a command that reads
 * small files synchronously need not pay (bench/startup.ts).
 */
export function asyncFs(): typeof import("node:fs/promises") {
  return process.getBuiltinModule("node:fs/promises")
}
