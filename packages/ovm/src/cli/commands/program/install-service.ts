import { existsSync, mkdirSync, rmSync } from "node:fs"
import { userInfo } from "node:os"
import { basename, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { replaceFile } from "../../../files/replace.ts"
import { homeFolder } from "../../../host/paths.ts"
import { findDaemon } from "../../daemon.ts"
import { print, printJson, warn } from "../../output.ts"
import { systemctl } from "../../service/systemd.ts"
import { type Manager, SERVICE_UNIT, SOCKET_UNIT, serviceUnit, socketUnit } from "../../service/unit.ts"
import { stopDaemon } from "../../stop-daemon.ts"
import { examples } from "../../terminal/examples.ts"

interface ServiceOptions {
  readonly print?: boolean
  readonly remove?: boolean
  readonly json?: boolean
}

const START_MS = 10_000

export function define(command: Command): void {
  command
    .description(
      "Have systemd keep the daemon and its socket: start it with the host, and again whenever it ends; who connects " +
        "meanwhile waits. For root those are system units, for others their own. Machines outlive it; after an upgrade, the same command again has the " +
        "new version take them over.",
    )
    .option("--print", "print the units, and change nothing")
    .option("--remove", "end the service and remove its units; machines go on running")
    .option("--json", "print JSON")
    .action(run)
  command.options.find((option) => option.long === "--print")?.conflicts(["remove", "json"])
  examples(command, "sudo ovm install-service", "ovm install-service --print", "ovm install-service --remove")
}

async function run(options: ServiceOptions): Promise<void> {
  const manager: Manager = process.getuid?.() === 0 ? "system" : "user"
  const folder = unitFolder(manager)
  const path = join(folder, SERVICE_UNIT)
  const units = new Map([
    [path, serviceUnit(manager)],
    [join(folder, SOCKET_UNIT), socketUnit()],
  ])
  if (options.print) return print(Array.from(units, ([unit, text]) => `# ${unit}\n${text}`).join("\n"))
  if (options.remove) await remove(manager, path, [...units.keys()])
  else await install(manager, units)
  if (options.json) printJson({ unit: path, installed: !options.remove })
  else print(`${path}  ${options.remove ? "removed" : "installed and started"}\n`)
}

/** One that was started by hand has the root, and would keep the service out. */
async function install(manager: Manager, units: ReadonlyMap<string, string>): Promise<void> {
  // Where nobody answers, nothing is left behind.
  await systemctl(manager, "show-environment")
  for (const [path, text] of units) {
    mkdirSync(dirname(path), { recursive: true })
    await replaceFile(path, text, { mode: 0o644 })
  }
  await systemctl(manager, "daemon-reload")
  await systemctl(manager, "enable", SOCKET_UNIT, SERVICE_UNIT)
  await systemctl(manager, "stop", SOCKET_UNIT, SERVICE_UNIT)
  await stopDaemon()
  await systemctl(manager, "start", SOCKET_UNIT, SERVICE_UNIT)
  await answering(manager)
  const { username } = userInfo()
  if (manager === "user" && !existsSync(join("/var/lib/systemd/linger", username)))
    warn(`machines end when ${username} logs out, unless: loginctl enable-linger ${username}`)
}

/** Its process is there before it answers. */
async function answering(manager: Manager): Promise<void> {
  for (const deadline = Date.now() + START_MS; Date.now() < deadline; await sleep(20))
    if (await findDaemon()) return
  const journal = manager === "user" ? "journalctl --user" : "journalctl"
  throw new OvmError("OVM_DAEMON_UNREACHABLE", `the daemon did not answer within ${START_MS / 1000} s`, {
    hint: `${journal} --unit ${SERVICE_UNIT}`,
  })
}

async function remove(manager: Manager, path: string, units: readonly string[]): Promise<void> {
  if (!existsSync(path))
    throw new OvmError("OVM_FILE_UNREADABLE", `there is no ${path}`, { hint: "ovm install-service" })
  // One of an earlier version has no unit for its socket.
  const there = units.filter((unit) => existsSync(unit))
  await systemctl(manager, "disable", "--now", ...there.map((unit) => basename(unit)))
  for (const unit of there) rmSync(unit)
  await systemctl(manager, "daemon-reload")
}

function unitFolder(manager: Manager): string {
  if (manager === "system") return "/etc/systemd/system"
  const home = homeFolder()
  const config = process.env.XDG_CONFIG_HOME || (home && join(home, ".config"))
  if (!config) throw new OvmError("OVM_USAGE", "there is no home directory for a unit: HOME is not set")
  return join(config, "systemd/user")
}
