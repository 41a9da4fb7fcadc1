import { goldenFiles } from "../packages/conformance/src/artifact/golden/layouts.ts"

/** Where all files are written by this, and no others are. */
export const GOLDEN = "spec/vectors/layouts"

/** The golden layouts, by path from the repository's root. */
export function generatedGolden(): Record<string, Uint8Array> {
  return Object.fromEntries(
    Object.entries(goldenFiles()).map(([path, bytes]) => [`${GOLDEN}/${path}`, bytes]),
  )
}
