import { readFileSync } from "node:fs"
import program from "../../../../agent/dist/ovm-agent" with { type: "file" }
import installer from "../../../../agent/install.sh" with { type: "file" }
import service from "../../../../agent/ovm-agent.openrc" with { type: "file" }
import unit from "../../../../agent/ovm-agent.service" with { type: "file" }

/** The agent itself, for x86-64 and any Linux. */
export const agentProgram = (): Buffer => readFileSync(program)

/** What guests with systemd and those with OpenRC start it by, and what puts it there at their first boot. */
export const agentUnit = (): Buffer => readFileSync(unit)
export const agentService = (): Buffer => readFileSync(service)
export const agentInstaller = (): string => readFileSync(installer, "utf8")
