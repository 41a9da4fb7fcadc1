import type { Call } from "../content/interfaces.ts"
import { invalid } from "../disk/file.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { firmwareOf } from "./firmware.ts"
import { type SourceFormat, sourceKind } from "./source.ts"
import { MOST_BYTES, toQcow2 } from "./to-qcow2.ts"
import { unpack } from "./unpack.ts"
import type { Workplace } from "./workplace.ts"

/** A disk that was taken in. */
export interface TakenDisk {
  /** A qcow2 that stands alone, in the workplace. */
  readonly path: string
  /** What it was. */
  readonly format: SourceFormat
  readonly firmware: "bios" | "uefi"
  /** How the firmware is known, and what was left behind: sentences. */
  readonly remarks: readonly string[]
}

/**
 * Makes a qcow2 of the disk in the file `path`, which may be compressed (spec/import.md). `named` is what it is called
 * in remarks. Throws OVM_DISK_INVALID for what is no disk, or does not stand alone, and what unpack and toQcow2 throw.
 */
export async function takeDisk(
  source: { readonly path: string; readonly named: string },
  place: Workplace,
  call: Call = {},
): Promise<TakenDisk> {
  const files = [source.path]
  const file = () => {
    const path = place.file()
    files.push(path)
    return path
  }
  try {
    return await take(source, file, call)
  } catch (thrown) {
    const { code, message, detail, hint } = toOvmError(thrown)
    const words = files.reduce((text, path) => text.replaceAll(path, source.named), message)
    throw new OvmError(code, words, { cause: thrown, detail, ...(hint !== undefined && { hint }) })
  }
}

async function take(
  { path, named }: { readonly path: string; readonly named: string },
  file: () => string,
  call: Call,
): Promise<TakenDisk> {
  let [from, kind] = [path, await sourceKind(path)]
  if ("packing" in kind) {
    from = file()
    await unpack(path, kind.packing, { path: from, most: MOST_BYTES }, call)
    const inner = await sourceKind(from)
    if ("packing" in inner)
      throw invalid(path, `is compressed by ${kind.packing}, and by ${inner.packing} again`)
    kind = inner
  }
  const to = file()
  const { remarks } = await toQcow2({ path: from, format: kind.format }, to, call)
  const { firmware, why } = await firmwareOf(to)
  const boots = `${named}: boots by ${firmware.toUpperCase()}: ${why}`
  return { path: to, format: kind.format, firmware, remarks: [...remarks, boots] }
}
