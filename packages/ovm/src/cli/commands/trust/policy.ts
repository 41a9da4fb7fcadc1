import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { examples } from "../../terminal/examples.ts"
import * as check from "./policy/check.ts"
import * as validate from "./policy/validate.ts"

export function define(command: Command): void {
  command
    .description("Find out what the policy of this host lets run, and why.")
    .allowExcessArguments(true)
    .action((_options, self: Command) => {
      const [name] = self.args
      if (name === undefined) self.help()
      throw new OvmError("OVM_USAGE", `unknown command 'policy ${name}'`, { hint: "ovm policy --help" })
    })
  check.define(command.command("check").summary("Hold an image against the policy, rule by rule"))
  validate.define(command.command("validate").summary("Report every fault of a policy file"))
  examples(
    command,
    "ovm policy check registry.example.com/machines/edge:1",
    "ovm policy validate policy.json",
  )
}
