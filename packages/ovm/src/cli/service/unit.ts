import { OvmError } from "../../errors.ts"
import { DAEMONS_GROUP } from "../../host/cgroup.ts"
import { paths } from "../../host/paths.ts"
import { ownCommand, ownEnvironment } from "../self.ts"

/** Who looks after the daemon: the system's manager, for root, or the user's own. */
export type Manager = "system" | "user"

export const SERVICE_UNIT = "ovm.service"
export const SOCKET_UNIT = "ovm.socket"

/** What the daemon is told by its environment; all else is in files. */
const VARIABLES = ["OVM_HOME", "OVM_QEMU", "OVM_QEMU_ARM64", "OVM_FIRECRACKER", "OVM_VIRTIOFSD"] as const

/**
 * The unit that has systemd keep a daemon (systemd.service(5)). Only the daemon itself is ever ended with it: its
 * machines stay, in the unit's control group, and are taken over by the next one.
 */
export function serviceUnit(manager: Manager): string {
  const { file, args } = ownCommand("daemon")
  const environment = ownEnvironment()
  const told = VARIABLES.flatMap((name) => {
    const value = environment[name]
    return value === undefined ? [] : [`Environment=${quoted(`${name}=${value}`)}`]
  })
  const socket = [`Requires=${SOCKET_UNIT}`, `After=${SOCKET_UNIT}`]
  const network = manager === "system" ? ["Wants=network-online.target", "After=network-online.target"] : []
  return [
    "[Unit]",
    "Description=OVM's daemon: machines as OCI artifacts",
    ...network,
    ...socket,
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=exec",
    `ExecStart=${[file, ...args].map(quoted).join(" ").replaceAll("$", "$$$$")}`,
    ...told,
    "# A daemon that ends, is restarted or upgraded leaves its machines running.",
    "KillMode=process",
    "OOMPolicy=continue",
    "Restart=always",
    "RestartSec=2",
    "LimitNOFILE=65536",
    "TasksMax=infinity",
    "# Machines with bounds have groups beside the daemon's.",
    "Delegate=cpu memory pids io",
    `DelegateSubgroup=${DAEMONS_GROUP}`,
    "",
    "[Install]",
    `WantedBy=${manager === "system" ? "multi-user.target" : "default.target"}`,
    "",
  ].join("\n")
}

/**
 * The unit of the socket that systemd listens on for the daemon (systemd.socket(5)): whoever connects while there is
 * none, as in a restart, waits, and is answered by the next one.
 */
export function socketUnit(): string {
  const { socket } = paths()
  return [
    "[Unit]",
    "Description=Socket of OVM's daemon",
    "",
    "[Socket]",
    `ListenStream=${socket.replaceAll("%", "%%")}`,
    "SocketMode=0600",
    "DirectoryMode=0700",
    "",
    "[Install]",
    "WantedBy=sockets.target",
    "",
  ].join("\n")
}

/** One word of a unit file (systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers"). */
function quoted(text: string): string {
  if (/[\n\r]/.test(text))
    throw new OvmError(
      "OVM_USAGE",
      `a service cannot be told of a path with a line break: ${JSON.stringify(text)}`,
    )
  const escaped = text.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")
  return `"${escaped}"`
}
