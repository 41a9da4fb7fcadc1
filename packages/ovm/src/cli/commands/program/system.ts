import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as df from "./system/df.ts"

export function define(command: Command): void {
  defineGroup(command, "This host's part in it.")
  df.define(command.command("df").summary("Show what takes room on the disk"))
  examples(command, "ovm system df")
}
