import { resolve } from "node:path"
import { type Command, InvalidArgumentError } from "commander"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { VERSION } from "../../../version.ts"
import { findDaemon, startDaemon } from "../../daemon.ts"
import { interruptible } from "../../interrupt.ts"
import { jsonText, print, printError, printJson } from "../../output.ts"
import { registryAccess } from "../../registry.ts"
import { stopDaemon } from "../../stop-daemon.ts"
import { examples } from "../../terminal/examples.ts"

interface DaemonOptions {
  readonly detach?: boolean
  readonly stop?: boolean
  readonly grpc?: string
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Serve the runtime API on the socket, in the foreground, with one JSON object a line on standard error. " +
        "`ovm run` starts a daemon by itself. When a daemon ends, however it ends, its machines go on running, " +
        "and the next daemon takes them over.",
    )
    .option("-d, --detach", "start it in the background and return when it answers")
    .option("--stop", "ask the daemon that runs to end; its machines go on running")
    .option("--grpc <unix:path>", "serve clients of gRPC on this socket, too", parseAddress)
    .option("--json", "print JSON; with --detach or --stop")
    .action(run)
  command.options.find((option) => option.long === "--stop")?.conflicts(["detach", "grpc"])
  examples(
    command,
    "ovm daemon",
    "ovm daemon --detach",
    "ovm daemon --stop",
    "ovm daemon --grpc unix:/run/user/1000/ovm-grpc.sock",
  )
}

/** The absolute path of the socket. */
function parseAddress(text: string): string {
  const [, path] = /^unix:(?:\/\/)?(.+)$/s.exec(text) ?? []
  if (path !== undefined) return resolve(path)
  throw new InvalidArgumentError("It is unix:PATH; for other hosts, let ssh or a proxy carry it.")
}

async function run(options: DaemonOptions): Promise<void> {
  if (options.stop) return stop(options)
  if (options.detach) return detach(options)
  if (options.json)
    throw new OvmError("OVM_USAGE", "option '--json' needs '--detach' or '--stop': the log is JSON already")
  const { runDaemon } = await import("../../../api/daemon.ts")
  const { credentials } = registryAccess()
  await interruptible((signal) =>
    runDaemon({ paths: paths(), version: VERSION, log, credentials, grpc: options.grpc, signal }),
  )
}

async function detach({ json, grpc }: DaemonOptions): Promise<void> {
  const running = await findDaemon()
  if (running)
    throw new OvmError("OVM_DAEMON_RUNNING", `a daemon has ${paths().root} already`, { hint: "ovm info" })
  const { pid } = await (await startDaemon({}, grpc === undefined ? [] : [`--grpc=unix:${grpc}`])).info()
  if (json) printJson({ pid })
  else print(`${pid}\n`)
}

async function stop({ json }: DaemonOptions): Promise<void> {
  const pid = await stopDaemon()
  if (pid === undefined)
    throw new OvmError("OVM_DAEMON_UNREACHABLE", `no daemon has ${paths().root}`, { hint: "ovm info" })
  if (json) printJson({ pid })
  else print(`stopped the daemon (pid ${pid}); its machines go on running\n`)
}

function log(event: string, fields: Record<string, unknown>): void {
  printError(`${jsonText({ time: new Date().toISOString(), event, ...fields })}\n`)
}
