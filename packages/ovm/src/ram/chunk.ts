import { ZEROS } from "../files/zeros.ts"
import { CHUNK } from "./format.ts"

/** A chunk of zeros. Not to be written to. */
export const zeroChunk: Uint8Array = ZEROS.subarray(0, CHUNK)
