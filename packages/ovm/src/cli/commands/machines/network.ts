import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as create from "./network/create.ts"
import * as inspect from "./network/inspect.ts"
import * as ls from "./network/ls.ts"
import * as prune from "./network/prune.ts"
import * as rm from "./network/rm.ts"

export function define(command: Command): void {
  defineGroup(
    command,
    "Networks of this host that machines share: they reach each other by name, and are root's to make.",
  )
  create.define(command.command("create").summary("Make a network"))
  ls.define(command.command("ls").summary("List networks"))
  inspect.define(command.command("inspect").summary("Show a network"))
  rm.define(command.command("rm").summary("Delete networks that no machine is in"))
  prune.define(
    command.command("prune").summary("Delete the networks that no machine on record was started in"),
  )
  examples(command, "ovm network create lab", "ovm run -d --network lab --name db debian:13")
}
