import type { Command } from "commander"
import { defineSetGuest } from "../../set-guest.ts"
import { examples } from "../../terminal/examples.ts"

export function define(command: Command): void {
  command.description(
    "Have guests go on that stand still: after `ovm pause`, or once there is room on a disk of the host that " +
      "was full. `ovm status` says why one does.",
  )
  defineSetGuest(command, "resume")
  examples(command, "ovm resume web", "ovm resume $(ovm ps --quiet)")
}
