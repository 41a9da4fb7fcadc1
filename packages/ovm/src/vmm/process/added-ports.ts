import { closeSync, existsSync, writeSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { waits } from "../../host/libc.ts"
import { FILTER_SOCKET, portText } from "../../network/filter.ts"
import { forwardText, type PortForward, type Protocol } from "../../network/forward.ts"
import { NetworkLink } from "../../network/link.ts"
import type { Connected, MachineLink } from "../../network/machine-link.ts"
import { openPorts } from "../../network/open-ports.ts"
import { findPasst, isAnsweredApart, startPortPasst } from "../../network/passt.ts"
import type { OpenPorts } from "../machine.ts"
import { answerOn, askFilter, watchFilter } from "./filter-socket.ts"
import { noteHelper } from "./helpers.ts"
import { connectionIn } from "./socket.ts"

/** From the end of a passt's frames until the host has its port back. */
const FREE_MS = 2000

/**
 * Machine.ports of a machine with passt: each port that is added has a passt of its own, whose frames the machine's
 * filter takes in (packages/filter/src/asks.c). Undefined where there is no such filter, nor one that starts, which
 * settles `carried`.
 */
export function addedPortsOf(directory: string, carried?: Promise<void>): OpenPorts | undefined {
  if (!carried && !existsSync(join(directory, FILTER_SOCKET))) return undefined
  const ask = async (request: string) => {
    await carried?.catch(() => {})
    return await askFilter(directory, request)
  }
  return {
    list: async () => {
      const lines = await ask("list")
      return lines && foundIn(lines)
    },
    open: async (forward) => {
      await carried?.catch(() => {})
      await openBy(directory, forward)
    },
    close: async (forward) => {
      // With the filter all of them have closed.
      const [said] = (await ask(`drop ${portText(forward)}`)) ?? []
      if (said === "shared") throw shared(forward)
      const held = said === "held"
      if (!held) await openPorts([forward], { patienceMs: FREE_MS }).catch(() => {})
      return { held }
    },
    changed: async (signal) => await watchFilter(directory, signal),
  }
}

/**
 * Starts the link of the machine in `directory`, and opens all of its ports: those that need a passt of their own by
 * that. Throws what MachineLink.start and OpenPorts.open throw.
 */
export async function startLink(link: MachineLink, directory: string, whom: Connected): Promise<void> {
  const apart = link instanceof NetworkLink ? whom.forwards.filter(isAnsweredApart) : []
  const together = whom.forwards.filter((forward) => !apart.includes(forward))
  await link.start({ ...whom, forwards: together, onStay: (pid) => noteHelper(directory, pid, "network") })
  // One after the other: the filter hears only so many at a time.
  for (const forward of apart) await openBy(directory, forward)
}

/** The connection is the filter's way to the passt: whoever is killed in between leaves no port. */
async function openBy(directory: string, forward: PortForward): Promise<void> {
  const passt = findPasst()
  if (passt === undefined) throw new OvmError("OVM_HOST_FAILED", "passt is not on PATH any more")
  const connection = await connectionIn(directory, FILTER_SOCKET)
  if (connection === undefined) throw withoutFilter()
  try {
    writeSync(connection, `add ${portText(forward)}\n`)
    const said = await answerOn(connection)
    if (said === "held\nok") return
    if (said !== "ok") throw notAdded(forward, said)
    waits(connection)
    await startPortPasst(passt, forward, {
      connection,
      onStay: (pid) => noteHelper(directory, pid, "network"),
    })
  } finally {
    closeSync(connection)
  }
}

/** Of an address alone: a filter of an earlier version has others, `%lo` behind them, that belong to one. */
const LINE = /^(open|held|added) (tcp|udp) ([\da-f.:]+) (\d+) (\d+)$/

function foundIn(lines: readonly string[]) {
  const all = lines.flatMap((line) => {
    const [whole, how, protocol, address = "", host, guest] = LINE.exec(line) ?? []
    if (whole === undefined) return []
    const forward = { protocol: protocol as Protocol, address, host: Number(host), guest: Number(guest) }
    return [{ how, forward }]
  })
  const those = (held: boolean) =>
    all.filter(({ how }) => (how === "held") === held).map(({ forward }) => forward)
  return { open: those(false), held: those(true), fragile: all.some(({ how }) => how === "added") }
}

function withoutFilter(): OvmError {
  return new OvmError(
    "OVM_STATE_CONFLICT",
    "what carries the machine's network has ended: no port leads to it",
    {
      hint: "ovm restart gives it a network again",
    },
  )
}

function notAdded(forward: PortForward, said: string): OvmError {
  const why = said === "full" ? "it has as many as it can have" : said || "it has ended"
  return new OvmError(
    said === "full" ? "OVM_TOO_MANY" : "OVM_HOST_FAILED",
    `the filter of the machine's network does not take ${forwardText(forward)}: ${why}`,
  )
}

function shared(forward: PortForward): OvmError {
  const reason = `another port that was opened with it leads to ${forward.guest}/${forward.protocol} as well`
  return new OvmError("OVM_UNSUPPORTED", `${forwardText(forward)} cannot be closed by itself: ${reason}`, {
    detail: [{ pointer: "/network/ports", reason }],
    hint: "close the other one first, or stop the machine: what is changed then is so when it is started again",
  })
}
