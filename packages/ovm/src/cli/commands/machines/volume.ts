import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { examples } from "../../terminal/examples.ts"
import * as create from "./volume/create.ts"
import * as inspect from "./volume/inspect.ts"
import * as ls from "./volume/ls.ts"
import * as prune from "./volume/prune.ts"
import * as rm from "./volume/rm.ts"

export function define(command: Command): void {
  command
    .description(
      "Disks that belong to no machine: they are there before one is started with them, and after it is gone.",
    )
    .allowExcessArguments(true)
    .action((_options, self: Command) => {
      const [name] = self.args
      if (name === undefined) self.help()
      throw new OvmError("OVM_USAGE", `unknown command 'volume ${name}'`, { hint: "ovm volume --help" })
    })
  create.define(command.command("create").summary("Make a volume"))
  ls.define(command.command("ls").summary("List volumes"))
  inspect.define(command.command("inspect").summary("Show a volume"))
  rm.define(command.command("rm").summary("Delete volumes with all that they hold"))
  prune.define(command.command("prune").summary("Delete the volumes that no machine on record has"))
  examples(command, "ovm volume create data --size 10GiB", "ovm run --volume data debian:13")
}
