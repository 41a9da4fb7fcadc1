import { OvmError } from "../../errors.ts"
import { parseAmple } from "../size.ts"

/** Of the largest file system that is made of a container image: 1 TiB. */
const MOST = 2 ** 40

/** Throws OVM_USAGE. */
export function parseDiskSize(text: string, option: string): number {
  const bytes = parseAmple(text, option)
  if (bytes <= MOST) return bytes
  throw new OvmError("OVM_USAGE", `${option} ${JSON.stringify(text)} is more than 1 TiB`)
}
