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
  /** It is what the machine is for; `settled`: the guest is going to have another root first. */
  readonly main?: "settled" | "now"
}

/** What an agent is asked for (spec/agent.md, "Streams"). */
export function textsOf({
  command,
  environment,
  user,
  directory,
  terminal,
  input,
  main,
}: GuestCommand): string[] {
  return [
    "exec",
    ...command.map((argument) => `argument=${argument}`),
    ...(environment ?? []).map((variable) => `variable=${variable}`),
    ...(user === undefined ? [] : [`user=${user}`]),
    ...(directory === undefined ? [] : [`directory=${directory}`]),
    ...(terminal ? [`terminal=${terminal.rows}x${terminal.columns}`] : []),
    ...(input ? ["input"] : []),
    ...(main ? ["main"] : []),
    ...(main === "settled" ? ["settled"] : []),
  ]
}
