import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import path from "../../../tap/dist/ovm-tap" with { type: "file" }
import { sealedFile } from "../host/libc.ts"

/** The name by which what carries goes in `ps` (packages/tap). */
const TAP = "ovm-tap"
/** As a VMM finds it (packages/tap/src/tap.h). */
export const INTERFACE = "net0"
/** Where a VMM that is started by it has its program (packages/tap/src/tap.h). */
const PROGRAM_AT = "/proc/self/fd/8"
/** Where one has it that only tries. */
const TRIED_AT = "/proc/self/fd/3"
const TRY_MS = 10_000

/** In the machine's directory: who connects to it plugs a link in that is down at first (packages/tap/src/plug.c). */
export const PLUG_SOCKET = "plug.sock"

let program: number | undefined
let works = false

/** Why no VMM can have an interface in a network of its own here; undefined if it can. What works is tried once. */
export function ownInterfaceFault(): string | undefined {
  if (works) return undefined
  const tried = spawnSync(TRIED_AT, ["loose", "true"], {
    argv0: TAP,
    stdio: ["ignore", "ignore", "pipe", programFile()],
    timeout: TRY_MS,
  })
  works = tried.status === 0
  if (works) return undefined
  const said = tried.stderr?.toString().trim().replace(`${TAP}: `, "")
  return said || tried.error?.message || `${TAP} ends with status ${tried.status}`
}

function programFile(): number {
  program ??= sealedFile(TAP, readFileSync(path))
  return program
}

/**
 * Whom the interface leads to: nobody, the VMM's link, or that once it is plugged in.
 */
export type Leads = "loose" | "up" | "down"

/**
 * What becomes the VMM of `argv` in a network namespace of its own, where it finds its interface, and leaves a process
 * beside it that carries what passes that to the VMM's link and back. All of it ends with the VMM.
 */
export function inOwnNetwork(argv: readonly string[], leads: Leads): string[] {
  return [PROGRAM_AT, leads, ...argv]
}

/** The descriptors that it is to inherit for that, behind those of its link and TPM. */
export function ownNetworkEnds(): readonly number[] {
  return [programFile()]
}
