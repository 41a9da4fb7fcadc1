import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as logs from "./compose/logs.ts"
import * as ps from "./compose/ps.ts"

export function define(command: Command): void {
  defineGroup(command, "The machines of a project, which `ovm up` starts and `ovm down` removes.")
  ps.define(command.command("ps").summary("List the machines of a project"))
  logs.define(command.command("logs").summary("Print the consoles of a project's machines"))
  examples(command, "ovm compose ps", "ovm compose logs --follow web")
}
