import type { Digest } from "../content/digest.ts"
import type { SourceFormat } from "./source.ts"

/** A disk that was taken in: a qcow2 that stands alone, in the workplace. */
export interface TakenDisk {
  readonly path: string
  /** Of the file, as it was written. */
  readonly digest: Digest
  /** What it was. */
  readonly format: SourceFormat
  /** What was left behind: sentences. */
  readonly remarks: readonly string[]
}

/** A disk beside the first: taken in, or empty and of `size` bytes. */
export type FurtherTaken =
  | { readonly name: string; readonly readOnly?: boolean; readonly disk: TakenDisk }
  | { readonly name: string; readonly size: number }

/** What a source says of its machine besides its disks. */
export interface SaidOfMachine {
  readonly firmware?: "bios" | "uefi"
  /** Of one that boots by UEFI. */
  readonly secureBoot?: boolean
  readonly tpm?: boolean
  readonly vcpus?: number
  /** Bytes. */
  readonly memory?: number
  readonly network?: "user" | "none"
}

/** A machine as it was taken in. */
export interface TakenMachine {
  /** It boots from this one. */
  readonly disk: TakenDisk
  readonly further: readonly FurtherTaken[]
  readonly said: SaidOfMachine & { readonly firmware: "bios" | "uefi" }
  /** Of the source, kept for those who write its form again. */
  readonly annotations?: Readonly<Record<string, string>>
  /** How the firmware is known, and what was left behind: sentences. */
  readonly remarks: readonly string[]
}
