// What hasher.ts and its worker say to each other.

/**
 * Begins, continues or asks the result of the job `id`; the descriptor is this process's own, shared by its threads.
 */
export interface HashRequest {
  readonly id: number
  readonly begin?: { readonly fd: number; readonly control: SharedArrayBuffer }
  readonly finish?: boolean
}

export type HashAnswer =
  | { readonly id: number; readonly hex: string }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string | undefined } }

/** Words of the control block: how far the file is written, and whether nobody wants the hash any more. */
export const WRITTEN = 0
export const CANCELLED = 1
