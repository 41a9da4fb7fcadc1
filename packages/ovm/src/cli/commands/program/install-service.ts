import { existsSync, mkdirSync, rmSync } from "node:fs"
import { userInfo } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { replaceFile } from "../../../files/replace.ts"
import { homeFolder } from "../../../host/paths.ts"
import { findDaemon } from "../../daemon.ts"
import { print, printJson, warn } from "../../output.ts"
import { systemctl } from "../../service/systemd.ts"
import { type Manager, serviceUnit } from "../../service/unit.ts"
import { stopDaemon } from "../../stop-daemon.ts"
import { examples } from "../../terminal/examples.ts"

interface ServiceOptions {
  readonly print?: boolean
  readonly remove?: boolean
  readonly json?: boolean
}

const UNIT = "ovm.service"
const START_MS = 10_000

export function define(command: Command): void {
  command
    .description(
      "Have systemd keep the daemon: start it with the host, and again whenever it ends. For root that is a system " +
        "unit, for others one of their own. Machines outlive it; after an upgrade, the same command again has the " +
        "new version take them over.",
    )
    .option("--print", "print the unit, and change nothing")
    .option("--remove", "end the service and remove its unit; machines go on running")
    .option("--json", "print JSON")
    .action(run)
  command.options.find((option) => option.long === "--print")?.conflicts(["remove", "json"])
  examples(command, "sudo ovm install-service", "ovm install-service --print", "ovm install-service --remove")
}

async function run(options: ServiceOptions): Promise<void> {
  const manager: Manager = process.getuid?.() === 0 ? "system" : "user"
  const unit = serviceUnit(manager)
  if (options.print) return print(unit)
  const path = unitPath(manager)
  if (options.remove) await remove(manager, path)
  else await install(manager, path, unit)
  if (options.json) printJson({ unit: path, installed: !options.remove })
  else print(`${path}  ${options.remove ? "removed" : "installed and started"}\n`)
}

/** One that was started by hand has the root, and would keep the service out. */
async function install(manager: Manager, path: string, unit: string): Promise<void> {
  // Where nobody answers, nothing is left behind.
  await systemctl(manager, "show-environment")
  mkdirSync(dirname(path), { recursive: true })
  await replaceFile(path, unit, { mode: 0o644 })
  await systemctl(manager, "daemon-reload")
  await systemctl(manager, "enable", UNIT)
  await systemctl(manager, "stop", UNIT)
  await stopDaemon()
  await systemctl(manager, "start", UNIT)
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
    hint: `${journal} --unit ${UNIT}`,
  })
}

async function remove(manager: Manager, path: string): Promise<void> {
  if (!existsSync(path))
    throw new OvmError("OVM_FILE_UNREADABLE", `there is no ${path}`, { hint: "ovm install-service" })
  await systemctl(manager, "disable", "--now", UNIT)
  rmSync(path)
  await systemctl(manager, "daemon-reload")
}

function unitPath(manager: Manager): string {
  if (manager === "system") return join("/etc/systemd/system", UNIT)
  const home = homeFolder()
  const config = process.env.XDG_CONFIG_HOME || (home && join(home, ".config"))
  if (!config) throw new OvmError("OVM_USAGE", "there is no home directory for a unit: HOME is not set")
  return join(config, "systemd/user", UNIT)
}
