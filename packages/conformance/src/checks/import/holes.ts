import { type Check, must } from "../../check.ts"
import { diskOf } from "../../foreign/disks.ts"
import { gnuSparseArchive, type Piece, type Sparse, sparseArchive } from "../../foreign/sparse.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { bench, file, imported, refuses, wholeOf } from "./stage.ts"

const DISK = diskOf("a disk with holes")
const SIZE = DISK.length
const PIECES: readonly Piece[] = [
  [4096, 512],
  [SIZE - 512, 512],
]

/** What the archive has of the disk, by these pieces. */
function sparse(pieces: readonly Piece[], size = SIZE): Sparse {
  const bytes = Buffer.concat(pieces.map(([offset, length]) => DISK.subarray(offset, offset + length)))
  return { size, pieces, bytes }
}

const FORMS: Readonly<Record<string, (file: Sparse) => Buffer>> = {
  S: gnuSparseArchive,
  "0.0": (file) => sparseArchive("0.0", file),
  "0.1": (file) => sparseArchive("0.1", file),
  "1.0": (file) => sparseArchive("1.0", file),
}

export const holes: readonly Check<Wrapper>[] = [
  bench("import/archive-with-holes", ["OVMS-IMP-082"], async (bench) => {
    for (const [form, archive] of Object.entries(FORMS)) {
      const source = await file(bench, `form-${form}.tar`, archive(sparse(PIECES)))
      must(
        wholeOf(await imported(bench, source)).equals(DISK),
        `a file with holes by ${form} is taken for another disk`,
      )
    }
  }),
  bench("import/archive-with-wrong-holes", ["OVMS-IMP-082"], async (bench) => {
    const whole = sparse(PIECES)
    const wrong: Readonly<Record<string, Sparse>> = {
      order: { ...whole, pieces: PIECES.toReversed() },
      outside: { ...whole, pieces: [PIECES[0] ?? [0, 0], [SIZE, 512]] },
      short: { ...whole, bytes: whole.bytes.subarray(512) },
    }
    for (const [form, archive] of Object.entries(FORMS))
      for (const [what, sparse] of Object.entries(wrong))
        await refuses(bench, [
          await file(bench, `${what}-${form}.tar`, archive(sparse)),
          "OVM_ARTIFACT_INVALID",
        ])
  }),
]
