import { once } from "node:events"
import { connect, isIPv6 } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { commandOf, type HealthEntry } from "../../compose/project.ts"
import { OvmError } from "../../errors.ts"
import type { InstanceInfo, Runtime } from "../../runtime/interfaces.ts"

/** One look: undefined if it is healthy, else what is not, in words. Throws what the runtime throws. */
export type HealthProbe = (info: InstanceInfo, signal: AbortSignal) => Promise<string | undefined>

/** How long a connection that nobody is behind may take to be closed, in ms. */
const REFUSAL_MS = 500

export function probeOf(runtime: Runtime, { tcp, http, exec, log }: HealthEntry): HealthProbe {
  if (tcp !== undefined) return (info, signal) => answersTcp(placeOf(info, tcp), signal)
  if (http) return (info, signal) => answersHttp(placeOf(info, http.port), http.path ?? "/", signal)
  if (log !== undefined) return (info, signal) => isOnConsole(runtime, info, log, signal)
  if (exec !== undefined) {
    const command = [...commandOf(exec)]
    return async ({ instance_id }, signal) => {
      const { exit_code } = await runtime.exec(instance_id, { command }, { signal })
      return exit_code === 0 ? undefined : `${command.join(" ").slice(0, 100)} ended with status ${exit_code}`
    }
  }
  return async ({ instance_id }, signal) => {
    const timeoutMs = 1000
    await runtime.ready(instance_id, { timeoutMs, signal })
    return undefined
  }
}

interface Place {
  readonly host: string
  readonly port: number
}

/** Where this host leads to that port of the guest. */
function placeOf({ network, name }: InstanceInfo, guest: number): Place {
  const found = network?.ports?.find((port) => port.protocol === "tcp" && port.guest === guest)
  if (!found) throw new OvmError("OVM_UNSUPPORTED", `no port of this host leads to ${guest} of ${name}`)
  const { address, host: port } = found
  return { host: address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address, port }
}

/**
 * What carries a machine's network takes every connection, and only then asks the guest. So a service is there if it
 * says something, or if a connection stays open until we have ended our half, and then ends.
 */
async function answersTcp(place: Place, signal: AbortSignal): Promise<string | undefined> {
  const socket = connect({ ...place, allowHalfOpen: true, signal })
  try {
    const said = new Promise<"said">((resolve) => socket.once("data", () => resolve("said")))
    const ended = new Promise<"ended">((resolve) => socket.once("end", () => resolve("ended")))
    const failed = once(socket, "error").then(([error]) => Promise.reject(error))
    failed.catch(() => {})
    await Promise.race([once(socket, "connect"), failed])
    const first = await Promise.race([said, ended, failed, sleep(REFUSAL_MS, "open" as const, { signal })])
    if (first === "said") return undefined
    if (first === "ended") return "the connection was closed at once"
    socket.end()
    await Promise.race([said, ended, failed])
    return undefined
  } finally {
    socket.destroy()
  }
}

async function answersHttp(
  { host, port }: Place,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const url = `http://${isIPv6(host) ? `[${host}]` : host}:${port}${path}`
  try {
    const { status, body } = await fetch(url, { redirect: "manual", signal })
    await body?.cancel()
    return status >= 200 && status < 400 ? undefined : `${path} answered ${status}`
  } catch (thrown) {
    signal.throwIfAborted()
    return `${path}: ${(thrown as Error).message}`
  }
}

/** What there is of its console; the next look sees more. */
async function isOnConsole(
  runtime: Runtime,
  { instance_id }: InstanceInfo,
  words: string,
  signal: AbortSignal,
) {
  const decoder = new TextDecoder()
  let kept = ""
  for await (const chunk of await runtime.logs(instance_id, { signal })) {
    const text = kept + decoder.decode(chunk, { stream: true })
    if (text.includes(words)) return undefined
    kept = text.slice(-words.length)
  }
  return `${JSON.stringify(words)} is not on its console`
}
