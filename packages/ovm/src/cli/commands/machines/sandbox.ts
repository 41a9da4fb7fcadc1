import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as run from "./sandbox/run.ts"

export function define(command: Command): void {
  defineGroup(command, "Machines for one command each, which are gone with it.")
  command.enablePositionalOptions()
  run.define(command.command("run").summary("Run a command in a machine of its own, and take its results"))
  examples(command, "ovm sandbox run python:ready -- python3 -c 'print(1 + 1)'")
}
