import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { type OvmError, toOvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import { type ImagesOptions, openImages } from "../images/images.ts"
import { LocalRuntime } from "../runtime/local.ts"
import type { LocalRuntimeOptions } from "../runtime/options.ts"
import { readDaemonSettings } from "../runtime/settings.ts"
import { Policy } from "../signing/policy/policy.ts"
import { availableVmms } from "../vmm/available.ts"
import { type Activated, activatedSocket, serveActivated } from "./activated.ts"
import type { GrpcServer, serveGrpc } from "./grpc/serve.ts"
import { holdRoot } from "./held-root.ts"
import { keepSocket } from "./kept-socket.ts"
import { LogStreams } from "./log-streams.ts"
import { privateFolder, refuseAnothers } from "./private-folder.ts"
import { serve } from "./server.ts"

export interface DaemonOptions {
  readonly paths: Paths
  readonly version: string
  readonly log: (event: string, fields: Record<string, unknown>) => void
  /** Whom registries take us for. */
  readonly credentials: NonNullable<ImagesOptions["credentials"]>
  /** Path of a socket on which clients of gRPC are served, too. */
  readonly grpc?: string | undefined
  /** Ends the daemon; machines go on running. */
  readonly signal: AbortSignal
}

/**
 * The daemon from its lock to its end. One daemon a root and one a socket: throws OVM_DAEMON_RUNNING otherwise, before
 * anything is touched, and ends with OVM_FILE_UNREADABLE once its root is not its own any more. Crash-only: being
 * killed and being asked to end leave the same on disk (docs/design/0004).
 */
export async function runDaemon({ grpc, ...options }: DaemonOptions): Promise<void> {
  const { paths, version, log, credentials, signal } = options
  // All that the daemon and its machines make is for their user alone, whatever folder it was started from.
  process.umask(0o077)
  const activated = activatedSocket()
  mkdirSync(paths.root, { recursive: true, mode: 0o700 })
  refuseAnothers(paths.root)
  using held = await holdRoot(paths)
  for (const folder of [paths.root, paths.store, paths.instances, paths.cache])
    if (existsSync(folder)) privateFolder(folder)
  const report = (error: OvmError) => log("error", { code: error.code, message: error.message })
  const settings = await settingsOf(paths, report)
  const images = await openImages(paths.store, paths.cache, new Policy(paths.policy), {
    settings: paths.registries,
    credentials,
    damaged: report,
  })
  const runtime = await LocalRuntime.open({
    version,
    root: paths.root,
    instances: paths.instances,
    images,
    ...settings,
    log,
  })
  const streams = new LogStreams()
  const listening = (socket: string) => log("listening", { socket, pid: process.pid })
  const server = await keepSocket(
    activated ? behind(activated, paths) : paths,
    (socket) => serve(runtime, socket, { log: report, streams }),
    (socket, error) => (error ? report(error) : listening(socket)),
  )
  listening(server.socket)
  const front = activated && (await serveActivated(activated, () => server.socket))
  if (front) listening(activated.path)
  const remote = grpc === undefined ? undefined : await grpcServer({ runtime, streams }, grpc, report)
  if (grpc !== undefined) listening(`unix:${grpc}`)
  const over = AbortSignal.any([signal, held.lost])
  if (!over.aborted) await new Promise((resolve) => over.addEventListener("abort", resolve, { once: true }))
  if (held.lost.aborted) report(held.lost.reason)
  front?.[Symbol.dispose]()
  remote?.close()
  await server.close()
  await runtime.close()
  log("ended", {})
  held.lost.throwIfAborted()
}

/** Its libraries are loaded only where it is asked for. */
async function grpcServer(...args: Parameters<typeof serveGrpc>): Promise<GrpcServer> {
  const { serveGrpc } = await import("./grpc/serve.ts")
  return await serveGrpc(...args)
}

/**
 * Settings that cannot be understood keep no machine from being taken over, stopped and removed; nothing starts
 * (OVMS-STA-029).
 */
async function settingsOf(
  paths: Paths,
  report: (error: OvmError) => void,
): Promise<Pick<LocalRuntimeOptions, "limits" | "defaults" | "vmms" | "fault">> {
  try {
    const { limits, defaults, vmms, jail } = await readDaemonSettings(paths.settings)
    return { limits, defaults, vmms: availableVmms(paths.cache, vmms, jail) }
  } catch (thrown) {
    const fault = toOvmError(thrown)
    report(fault)
    return { vmms: availableVmms(paths.cache), fault }
  }
}

/** Where the daemon's own socket is then: what was passed stays what it is, also where the root's link would be. */
function behind({ path }: Activated, paths: Paths): Paths {
  const socket = join(paths.root, "daemon.sock")
  return { ...paths, socket, link: path === paths.link ? socket : paths.link }
}
