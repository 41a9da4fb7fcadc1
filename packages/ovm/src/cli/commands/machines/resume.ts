import type { Command } from "commander"
import { examples } from "../../examples.ts"
import { defineSetGuest } from "../../set-guest.ts"

export function define(command: Command): void {
  command.description(
    "Have guests go on that stand still: after `ovm pause`, or once there is room on a disk of the host that was full.\n" +
      "`ovm status` says why one does.",
  )
  defineSetGuest(command, "resume")
  examples(command, "ovm resume web", "ovm resume $(ovm ps --quiet)")
}
