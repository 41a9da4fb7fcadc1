import type { Command } from "commander"
import { defineSetGuest } from "../../set-guest.ts"
import { examples } from "../../terminal/examples.ts"

export function define(command: Command): void {
  command.description(
    "Have guests stand still, with all that they have in memory, until `ovm resume`. Time goes on without " +
      "them.",
  )
  defineSetGuest(command, "pause")
  examples(command, "ovm pause web", "ovm pause --json 3f2a 91bc")
}
