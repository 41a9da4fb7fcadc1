/** What a build says of what runs in a machine, as image-spec has it in an image's config ("config.md"). */
export interface MachineSettings {
  readonly User?: string
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[]
  readonly Cmd?: readonly string[]
  readonly WorkingDir?: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly Volumes?: Readonly<Record<string, Readonly<Record<string, never>>>>
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, never>>>>
  readonly StopSignal?: string
  /** As Docker has it: times in ns. */
  readonly Healthcheck?: {
    readonly Test: readonly string[]
    readonly Interval?: number
    readonly Timeout?: number
    readonly StartPeriod?: number
    readonly StartInterval?: number
    readonly Retries?: number
  }
  readonly Shell?: readonly string[]
}

/** `NAME=VALUE` of `variables` in place of what `before` has of that name. */
export function withVariables(
  before: readonly string[] | undefined,
  variables: readonly (readonly [string, string])[],
): readonly string[] {
  const all = new Map((before ?? []).map((one) => splitVariable(one)))
  for (const [name, value] of variables) all.set(name, value)
  return [...all].map(([name, value]) => `${name}=${value}`)
}

/** Name and value. */
export function splitVariable(text: string): readonly [string, string] {
  const at = text.indexOf("=")
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
}
