import type { FurtherTaken, SaidOfMachine, TakenDisk } from "./taken.ts"

/** What was found, before it is known how it boots. */
export interface UnfinishedMachine {
  readonly disk: TakenDisk
  readonly further?: readonly FurtherTaken[]
  readonly said?: SaidOfMachine
  readonly annotations?: Readonly<Record<string, string>>
  readonly remarks?: readonly string[]
}
