import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { Refused } from "./contract.ts"

export const ACCELERATORS: readonly string[] = ["tcg"]

/** Where the VMM is. */
export function qemu(): string {
  const path = Bun.which("qemu-system-x86_64")
  if (path) return path
  const hint = "qemu-system-x86_64 is not on PATH (Debian: apt install qemu-system-x86)"
  throw new Refused("OVM_VMM_MISSING", hint)
}

const known = new Map<string, Promise<string>>()

/** Asked once, as long as this process lives: a start takes the answer, too. */
export function versionOf(path: string): Promise<string> {
  const asked = known.get(path) ?? ask(path)
  known.set(path, asked)
  return asked
}

async function ask(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ["--version"])
  return /version (\d+(\.\d+)+)/.exec(stdout)?.[1] ?? "0.0"
}
