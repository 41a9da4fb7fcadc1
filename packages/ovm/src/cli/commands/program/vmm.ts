import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as ls from "./vmm/ls.ts"
import * as test from "./vmm/test.ts"

export function define(command: Command): void {
  defineGroup(command, "Virtual machine monitors that machines run on here, and the adapters to them.")
  ls.define(command.command("ls").summary("List them, and what each can do"))
  test.define(command.command("test").summary("Run a small guest on one, and say what works"))
  examples(command, "ovm vmm ls", "ovm vmm test qemu")
}
