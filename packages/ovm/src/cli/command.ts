import type { Command } from "commander"

/** What a file of cli/commands exports. */
export interface CommandModule {
  /**
   * Adds arguments, options, examples and the action to `command`, which has its name and summary already; `all` are
   * the program's.
   */
  define(command: Command, all: readonly CommandEntry[]): void
}

export interface GroupedEntry {
  readonly name: string
  readonly summary: string
  /** Commands that only other programs call are left out of the help. */
  readonly hidden?: true
  readonly load: () => Promise<CommandModule>
}

export interface CommandEntry extends GroupedEntry {
  /** The heading that it is under in the help. */
  readonly group: string
}
