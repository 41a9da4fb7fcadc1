import type { Bytes, Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { hasEnded } from "../runtime/states.ts"
import { refuseBadEnd } from "./end.ts"
import { hasLeft, isRestarting, waitFor } from "./instances.ts"
import { onSignals } from "./interrupt.ts"
import { consoleBefore, consoleOfLife, hasMissed } from "./lives.ts"
import { warnOfPorts } from "./offered.ts"
import { isTerminal, printBytes, printError } from "./output.ts"

/** How often it is looked whether the guest stands still, in ms. */
const LOOK_MS = 1000

interface ShowOptions extends Call {
  readonly show?: (info: InstanceInfo) => Promise<void>
  /** Told, again and again, as long as it is going to be started again. */
  readonly between?: () => void
}

/**
 * Shows the console of an instance until it has ended. The first Ctrl-C or SIGTERM asks the guest to power off, the
 * next ends the machine. Throws the instance's own error if it failed, OVM_GUEST_RESET if the guest reset,
 * OVM_INTERRUPTED if it was killed. `show` shows the console of one life of it, if it is not only to be
 * printed; rejects when `signal` aborts, with the machine left as it is.
 */
export async function showConsole(
  runtime: Runtime,
  id: string,
  { show = (info) => printConsole(runtime, info), between = () => {}, ...call }: ShowOptions = {},
): Promise<InstanceInfo> {
  let signals = 0 as number
  let shown: InstanceInfo | undefined
  // A brief life may be over before it is looked at: it is between two lives from its first look on, then.
  const isBegun = (info: InstanceInfo) => {
    if (isRestarting(info)) between()
    return info.state !== "starting" && !(isRestarting(info) && info.started === shown?.started)
  }
  const info = await onSignals(
    (count) => {
      signals = count
      ignoreFailure(count === 1 ? askToStop(runtime, id) : runtime.stop({ instance_id: id, grace_ms: 0 }))
    },
    async () => {
      const timer = setInterval(tellStandstill(runtime, id), LOOK_MS)
      try {
        for (;;) {
          const before = await waitFor(runtime, id, isBegun, call)
          // One that was going to be started again, and is not.
          if (shown && shown.started === before.started && hasEnded(before.state)) return before
          if (!shown) warnOfPorts(before)
          if (hasMissed(shown, before)) await printAll(await consoleBefore(runtime, id, call))
          shown = before
          await show(before)
          const info = await waitFor(runtime, id, hasLeft(before), call)
          // Somebody has it started again: that is shown as well.
          if (hasEnded(info.state) && !isRestarting(info)) return info
        }
      } finally {
        clearInterval(timer)
      }
    },
  )
  if (signals > 1) throw new OvmError("OVM_INTERRUPTED", `instance ${info.name} was killed`)
  refuseBadEnd(info, { asked: signals > 0 })
  return info
}

/** What an instance writes in the life that `info` is of, to its end. */
export async function printConsole(runtime: Runtime, info: InstanceInfo): Promise<void> {
  await printAll(await consoleOfLife(runtime, info))
}

async function printAll(bytes: Bytes): Promise<void> {
  for await (const chunk of bytes) await printBytes(chunk)
}

/** A console that says nothing any more does not say why. */
function tellStandstill(runtime: Runtime, id: string): () => Promise<void> {
  let told: InstanceInfo["reason"]
  return async () => {
    // Whoever follows the console hears of a daemon that is gone.
    const info = await runtime.status(id).catch(() => undefined)
    if (!info || info.reason === told) return
    told = info.reason
    if (told !== "disk-full" && told !== "io-error") return
    printError(`warning: ${info.name}: ${info.warnings.at(-1)}: ovm resume ${info.name}\n`)
  }
}

async function askToStop(runtime: Runtime, id: string): Promise<void> {
  if (isTerminal("stderr")) printError("\nStopping the machine; once more kills it.\n")
  await runtime.stop({ instance_id: id })
}

/** What becomes of it shows in the status; a second signal can still kill the machine. */
function ignoreFailure(request: Promise<unknown>): void {
  request.catch(() => {})
}
