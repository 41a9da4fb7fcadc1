import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as check from "./policy/check.ts"
import * as validate from "./policy/validate.ts"

export function define(command: Command): void {
  defineGroup(command, "Find out what the policy of this host lets run, and why.")
  check.define(command.command("check").summary("Hold an image against the policy, rule by rule"))
  validate.define(command.command("validate").summary("Report every fault of a policy file"))
  examples(
    command,
    "ovm policy check registry.example.com/machines/edge:1",
    "ovm policy validate policy.json",
  )
}
