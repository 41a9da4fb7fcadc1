import type { Context, ContextSource } from "./context.ts"
import type { MachineSettings } from "./settings.ts"

/** What a COPY or ADD does. */
export interface Copy {
  /** Absolute. */
  readonly to: string
  /** Whether `to` is a folder even if nothing is there yet. */
  readonly into: boolean
  /** `USER[:GROUP]`, names or numbers of the guest. */
  readonly chown?: string
  readonly chmod?: number
  /** Of the context, or paths in another machine. */
  readonly sources:
    | readonly ContextSource[]
    | { readonly stage: PlannedStage | Base; readonly paths: readonly string[] }
}

/** A machine that a stage begins with. */
export interface Base {
  /** As it may be started. */
  readonly reference: string
  readonly digest: string
  readonly settings: MachineSettings
}

/** What a step does in a machine. */
export type StepWork =
  | {
      readonly kind: "run"
      readonly command: readonly string[]
      readonly environment: readonly string[]
      readonly user?: string
      readonly directory: string
    }
  | { readonly kind: "folder"; readonly path: string }
  | ({ readonly kind: "copy" } & Copy)

export interface PlannedStep {
  readonly line: number
  /** As it is written. */
  readonly text: string
  /** All that its layer depends on. */
  readonly key: string
  readonly work: StepWork
}

export interface PlannedStage {
  readonly name: string
  readonly from: Base | PlannedStage
  readonly steps: readonly PlannedStep[]
  /** What it says of itself at its end. */
  readonly settings: MachineSettings
  /** Of its last step, or of what it is from. */
  readonly key: string
}

export function isStage(from: Base | PlannedStage): from is PlannedStage {
  return "steps" in from
}

/** The machine that a stage begins with in the end. */
export function baseOf({ from }: PlannedStage): Base {
  return isStage(from) ? baseOf(from) : from
}

export interface PlanOptions {
  readonly args: ReadonlyMap<string, string>
  /** A stage's name or number; the last one unless given. */
  readonly target?: string
  readonly context: Context
  /** Finds an image. Throws OVM_NAME_UNKNOWN and what finding and reading it can. */
  readonly base: (reference: string) => Promise<Base>
}
