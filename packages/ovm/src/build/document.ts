/** One instruction of a Dockerfile, as it is written. */
export interface Instruction {
  readonly line: number
  /** In capitals. */
  readonly keyword: string
  /** By name, without dashes; a flag without a value is empty. */
  readonly flags: ReadonlyMap<string, string>
  /** All behind the flags, continued lines joined. */
  readonly rest: string
}

/** From one FROM to the next. */
export interface Stage {
  readonly line: number
  /** In lower case. */
  readonly name?: string
  /** An image, or the name of a stage before; variables are not expanded. */
  readonly base: string
  readonly instructions: readonly Instruction[]
}

export interface Dockerfile {
  /** What it is called in what is said of it. */
  readonly path: string
  /** What takes the meaning of the character behind it. */
  readonly mark: string
  /** ARG before the first FROM. */
  readonly args: readonly Instruction[]
  readonly stages: readonly Stage[]
}

/** Index of the stage of that name or number, among the first `before`. */
export function stageCalled({ stages }: Dockerfile, text: string, before: number): number | undefined {
  const named = stages.findLastIndex(({ name }, at) => at < before && name === text.toLowerCase())
  if (named >= 0) return named
  return /^\d{1,4}$/.test(text) && Number(text) < before ? Number(text) : undefined
}
