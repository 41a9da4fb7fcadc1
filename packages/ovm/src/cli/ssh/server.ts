import { createConnection } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { InstanceInfo, Runtime } from "../../runtime/interfaces.ts"
import { hasEnded } from "../../runtime/states.ts"
import { isTerminal, printError } from "../output.ts"

const PORT = 22
/** Between two looks. */
const AGAIN_MS = 300
/** How long one may take; an emulated guest takes its time. */
const LOOK_MS = 30_000
/** Whoever waits for longer is told for what. */
const SILENCE_MS = 2000

/** Where this host leads to a guest's sshd. */
export interface SshServer {
  readonly address: string
  readonly port: number
}

/** Throws OVM_STATE_CONFLICT for a machine that has ended, OVM_UNSUPPORTED for one without a way to its port 22. */
export function serverOf({ name, network, state, image }: InstanceInfo): SshServer {
  if (hasEnded(state))
    throw new OvmError("OVM_STATE_CONFLICT", `${name} is ${state}`, { hint: `ovm start ${name}` })
  if (network?.address !== undefined) return { address: network.address, port: PORT }
  const port = network?.ports?.find(({ guest, protocol }) => guest === PORT && protocol === "tcp")
  if (port) return { address: HERE[port.address] ?? port.address, port: port.host }
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `${name}: no port of this host leads to port ${PORT} of the machine`,
    {
      detail: [{ pointer: "network/ports", reason: `none leads to ${PORT}/tcp` }],
      hint: `ports are opened at the start: ovm run --ssh ${image.reference}; ovm attach ${name} joins its console`,
    },
  )
}

/** How this host reaches what is open on all of its addresses. */
const HERE: Readonly<Record<string, string | undefined>> = { "0.0.0.0": "127.0.0.1", "::": "::1" }

/**
 * Settles once the guest's sshd has said that it is one. Throws OVM_GUEST_UNREACHABLE if that takes longer than
 * `patienceMs`, OVM_STATE_CONFLICT if the machine ends.
 */
export async function awaitServer(
  runtime: Runtime,
  { instance_id, name }: InstanceInfo,
  server: SshServer,
  { patienceMs, signal }: Call & { readonly patienceMs: number },
): Promise<void> {
  const deadline = performance.now() + patienceMs
  const told = performance.now() + SILENCE_MS
  for (let silent = true; !(await answers(server, signal)); ) {
    serverOf(await runtime.status(instance_id, signal && { signal }))
    if (performance.now() >= deadline)
      throw new OvmError(
        "OVM_GUEST_UNREACHABLE",
        `${name}: no SSH server answers on port ${PORT} of the guest`,
        {
          hint: `ovm logs ${name} shows how far its guest is; --wait SECONDS has more patience`,
        },
      )
    if (silent && performance.now() >= told) {
      if (isTerminal("stderr")) printError(`Waiting for the SSH server of ${name}.\n`)
      silent = false
    }
    await sleep(AGAIN_MS, undefined, signal && { signal })
  }
}

/**
 * Whether what is behind the port begins as an SSH server does (RFC 4253, section 4.2). Both sides may speak first, and
 * we do: behind a filter of an earlier version the guest is told of a connection only once something came by it.
 */
function answers({ address, port }: SshServer, signal: AbortSignal | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port })
    const over = (found: boolean) => {
      signal?.removeEventListener("abort", leave)
      socket.destroy()
      resolve(found)
    }
    const leave = () => over(false)
    signal?.addEventListener("abort", leave)
    socket.setTimeout(LOOK_MS, leave)
    socket.write("SSH-2.0-ovm\r\n")
    socket.once("data", (bytes: Buffer) => over(bytes.toString("latin1").startsWith("SSH-")))
    socket.once("error", leave)
    socket.once("close", leave)
  })
}
