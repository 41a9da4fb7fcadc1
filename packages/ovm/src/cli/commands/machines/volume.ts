import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as create from "./volume/create.ts"
import * as inspect from "./volume/inspect.ts"
import * as ls from "./volume/ls.ts"
import * as prune from "./volume/prune.ts"
import * as rm from "./volume/rm.ts"

export function define(command: Command): void {
  defineGroup(
    command,
    "Disks that belong to no machine: they are there before one is started with them, and after it is gone.",
  )
  create.define(command.command("create").summary("Make a volume"))
  ls.define(command.command("ls").summary("List volumes"))
  inspect.define(command.command("inspect").summary("Show a volume"))
  rm.define(command.command("rm").summary("Delete volumes with all that they hold"))
  prune.define(command.command("prune").summary("Delete the volumes that no machine on record has"))
  examples(command, "ovm volume create data --size 10GiB", "ovm run --volume data debian:13")
}
