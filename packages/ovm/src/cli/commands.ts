import type { CommandEntry, GroupedEntry } from "./command.ts"
import { IMAGE_COMMANDS } from "./commands/images.ts"
import { MACHINE_COMMANDS } from "./commands/machines.ts"
import { PROGRAM_COMMANDS } from "./commands/program.ts"
import { TRUST_COMMANDS } from "./commands/trust.ts"

/** Every command, in the order of the help. A command's module is loaded only when it is the one that was asked for. */
export const COMMANDS: readonly CommandEntry[] = [
  ...under("Images:", IMAGE_COMMANDS),
  ...under("Trust:", TRUST_COMMANDS),
  ...under("Instances:", MACHINE_COMMANDS),
  ...under("Program:", PROGRAM_COMMANDS),
]

function under(group: string, entries: readonly GroupedEntry[]): CommandEntry[] {
  return entries.map((entry) => ({ ...entry, group }))
}
