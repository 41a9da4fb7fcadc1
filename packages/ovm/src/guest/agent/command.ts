/** A command in a guest. */
export interface GuestCommand {
  readonly command: readonly string[]
  /** NAME=VALUE. */
  readonly environment?: readonly string[]
  readonly user?: string
  readonly directory?: string
  readonly terminal?: { readonly rows: number; readonly columns: number }
  /** It is going to be given input. */
  readonly input: boolean
}

/** What an agent is asked for (spec/agent.md, "Streams"). */
export function textsOf({ command, environment, user, directory, terminal, input }: GuestCommand): string[] {
  return [
    "exec",
    ...command.map((argument) => `argument=${argument}`),
    ...(environment ?? []).map((variable) => `variable=${variable}`),
    ...(user === undefined ? [] : [`user=${user}`]),
    ...(directory === undefined ? [] : [`directory=${directory}`]),
    ...(terminal ? [`terminal=${terminal.rows}x${terminal.columns}`] : []),
    ...(input ? ["input"] : []),
  ]
}
