import type { Command } from "commander"
import { OvmError } from "../errors.ts"

/**
 * Makes `command` one that only has commands below it: alone it shows its help, and a word that is none of them is
 * refused with OVM_USAGE.
 */
export function defineGroup(command: Command, description: string): void {
  const group = command.name()
  command
    .description(description)
    .allowExcessArguments(true)
    .action((_options, self: Command) => {
      const [name] = self.args
      if (name === undefined) self.help()
      throw new OvmError("OVM_USAGE", `unknown command '${group} ${name}'`, { hint: `ovm ${group} --help` })
    })
}
