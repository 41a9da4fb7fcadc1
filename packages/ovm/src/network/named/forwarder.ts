import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import path from "../../../../forward/dist/ovm-forward" with { type: "file" }
import { OvmError } from "../../errors.ts"
import { sealedFile } from "../../host/libc.ts"
import { isLocked, lockHolder } from "../../host/lock-holder.ts"
import { startBackground } from "../background.ts"
import { portInUse } from "../clash.ts"
import { portText } from "../filter.ts"
import type { PortForward, Protocol } from "../forward.ts"
import { runProgram } from "./programs.ts"

/** The name by which forwarders go in `ps` (packages/forward). */
const FORWARDER = "ovm-forward"
/** Where its program is, as it sees it itself (packages/forward/src/forward.h). */
const PROGRAM_AT = "/proc/self/fd/3"
/** In the machine's directory: a file for each port, locked as long as it is open, and where they lead. */
const FOLDER = "forwards"
const GUEST = "guest"
/** From its end until the host has the port again. */
const END_MS = 2000
const LOOK_MS = 5

let program: number | undefined

/** Where the ports of a machine in a network of the host lead. */
export interface ForwardedTo {
  readonly address: string
  /** The machine's interface of the host, by its number: they are open as long as that is there. */
  readonly index: number
}

/**
 * Leaves nothing of an earlier start in the machine's `directory`, and opens `forwards`. Throws as openForward does.
 */
export async function beginForwards(
  directory: string,
  { address, index }: ForwardedTo,
  forwards: readonly PortForward[],
): Promise<void> {
  const folder = join(directory, FOLDER)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  writeFileSync(join(folder, GUEST), `${address} ${index}\n`, { mode: 0o600 })
  await Promise.all(forwards.map((forward) => openForward(directory, forward)))
}

/** Whether the machine is in a network of the host whose ports can change. */
export function hasForwards(directory: string): boolean {
  return guestIn(directory) !== undefined
}

/** Those that are open now, whoever has opened them. */
export function openForwardsIn(directory: string): readonly PortForward[] {
  const folder = join(directory, FOLDER)
  return filesIn(directory).flatMap(({ file, forward }) => (isLocked(join(folder, file)) ? forward : []))
}

/** The same; undefined once the machine's interface has gone, and all of them with it. */
export async function forwardsNow(directory: string): Promise<readonly PortForward[] | undefined> {
  const open = openForwardsIn(directory)
  if (open.length === filesIn(directory).length) return open
  // In this order: none closes by the machine's end before its interface has gone.
  const links: unknown = JSON.parse((await runProgram("ip", ["-j", "link", "show"])) || "[]")
  const index = guestIn(directory)?.index
  return Array.isArray(links) && links.some((link) => link.ifindex === index) ? open : undefined
}

function filesIn(directory: string): readonly { readonly file: string; readonly forward: PortForward }[] {
  const files = readdirSync(join(directory, FOLDER)).sort()
  return files.flatMap((file) => {
    const [, protocol, address = "", host, guest] = /^(tcp|udp) (\S+) (\d+) (\d+)$/.exec(file) ?? []
    if (protocol === undefined) return []
    const ends = { address, host: Number(host), guest: Number(guest) }
    return [{ file, forward: { protocol: protocol as Protocol, ...ends } }]
  })
}

/**
 * A process of its own for the port, which ends with the machine's interface, or by `closeForward`, and by nobody
 * else's end. Throws OVM_PORT_IN_USE, OVM_HOST_FAILED with its own words.
 */
export async function openForward(directory: string, forward: PortForward): Promise<void> {
  const to = guestIn(directory)
  if (!to) throw new OvmError("OVM_INTERNAL", "it is not known where the machine's ports lead")
  program ??= sealedFile(FORWARDER, readFileSync(path))
  const { protocol, address, host, guest } = forward
  const args = [protocol, address, `${host}`, to.address, `${guest}`, `${to.index}`]
  const cwd = join(directory, FOLDER)
  const what = { program: PROGRAM_AT, name: FORWARDER, args, cwd, descriptors: [program] }
  const fault = await startBackground(what, new AbortController().signal)
  if (!fault) return
  const said = `the port's own process did not start (${fault.how}) ${fault.words}`.trim()
  if (/address in use/i.test(said)) throw portInUse(forward, "", new Error(said))
  throw new OvmError("OVM_HOST_FAILED", `${portText(forward)}: ${said}`, { cause: fault.cause })
}

/** Of the processes that keep its ports open. */
export function forwarderPids(directory: string): readonly number[] {
  if (!hasForwards(directory)) return []
  const folder = join(directory, FOLDER)
  return filesIn(directory).flatMap(({ file }) => lockHolder(join(folder, file)) ?? [])
}

/** Returns once the host has the port again. Throws OVM_VMM_FAILED where it is still open. */
export async function closeForward(directory: string, forward: PortForward): Promise<void> {
  const file = join(directory, FOLDER, portText(forward))
  const pid = lockHolder(file)
  if (pid !== undefined) process.kill(pid, "SIGTERM")
  for (const deadline = performance.now() + END_MS; isLocked(file); await sleep(LOOK_MS))
    if (performance.now() > deadline)
      throw new OvmError("OVM_VMM_FAILED", `what carries ${portText(forward)} did not end`)
  rmSync(file, { force: true })
}

function guestIn(directory: string): ForwardedTo | undefined {
  const path = join(directory, FOLDER, GUEST)
  const text = existsSync(path) ? readFileSync(path, "utf8") : ""
  const [, address, index] = /^(\S+) (\d+)\n$/.exec(text) ?? []
  return address === undefined ? undefined : { address, index: Number(index) }
}
