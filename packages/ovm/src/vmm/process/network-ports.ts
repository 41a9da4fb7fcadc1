import { setTimeout as sleep } from "node:timers/promises"
import { portText } from "../../network/filter.ts"
import {
  closeForward,
  forwardsNow,
  hasForwards,
  openForward,
  openForwardsIn,
} from "../../network/named/forwarder.ts"
import type { OpenPorts } from "../machine.ts"
import { addedPortsOf } from "./added-ports.ts"

/** Between two looks whether a port has closed by itself. */
const LOOK_MS = 1000

/** Machine.ports of a machine whose frames leave its VMM: by a bridge of the host, or as `addedPortsOf` says. */
export function networkPortsOf(directory: string, carried?: Promise<void>): OpenPorts | undefined {
  return hasForwards(directory) ? forwardedPortsOf(directory) : addedPortsOf(directory, carried)
}

/** Each has a process of its own, which somebody may kill. */
function forwardedPortsOf(directory: string): OpenPorts {
  return {
    list: async () => {
      const open = await forwardsNow(directory)
      return open && { open, held: [], fragile: open.length > 0 }
    },
    open: async (forward) => await openForward(directory, forward),
    close: async (forward) => {
      await closeForward(directory, forward)
      return { held: false }
    },
    changed: async (signal) => {
      const all = () => openForwardsIn(directory).map(portText).join("\n")
      const before = all()
      const over = async () => {
        while (!signal.aborted && all() === before)
          await sleep(LOOK_MS, undefined, { signal }).catch(() => {})
      }
      return { over: over().catch(() => {}) }
    },
  }
}
