import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
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

/** A machine that a stage begins with, or a container image that becomes one. */
export interface Base {
  /** As it may be started; of a container image how it was named. */
  readonly reference: string
  /** Of the machine, or of all that it is going to be made of. */
  readonly digest: string
  readonly settings: MachineSettings
  /** Its first program begins what `/etc/ovm/main` says (spec/import.md). */
  readonly begins: boolean
  /** It has instructions for whoever builds on it (ONBUILD). */
  readonly triggers?: boolean
  readonly container?: ContainerBase
}

export interface ContainerBase {
  /** Of the image; of nothing there is none. */
  readonly digest?: Digest
  /** Of one in a registry. */
  readonly name?: string
  /** Makes a machine of it that is called `name` on this host. */
  readonly convert: (name: string, call: Call) => Promise<void>
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
  /** `user`: whose it is, if it is made; root's unless said. */
  | { readonly kind: "folder"; readonly path: string; readonly user?: string }
  | ({ readonly kind: "copy" } & Copy)
  /** What the machine is to begin. */
  | { readonly kind: "main"; readonly texts: Uint8Array }

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
  /** Of its FROM. */
  readonly line: number
  readonly from: Base | PlannedStage
  readonly steps: readonly PlannedStep[]
  /** What it says of itself at its end. */
  readonly settings: MachineSettings
  /** Of its ARGs by then: a stage that begins with it has them, too. */
  readonly args: ReadonlyMap<string, string>
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
  /** Whether a file is a tar archive, compressed or not, by what is in it. */
  readonly isArchive: (path: string) => Promise<boolean>
  /** Finds an image. Throws OVM_NAME_UNKNOWN and what finding and reading it can. */
  readonly base: (reference: string) => Promise<Base>
}
