import type { Call } from "../content/interfaces.ts"
import { invalid } from "../disk/file.ts"
import { MAX_VIRTUAL_SIZE } from "../disk/inspect.ts"
import { runTool, ToolMissing, type ToolResult } from "../disk/tool.ts"
import { OvmError } from "../errors.ts"
import { fileLimit } from "../host/file-limit.ts"
import { isObject } from "../objects.ts"
import { notInstalled } from "./not-installed.ts"
import type { SourceFormat } from "./source.ts"

/** Of a file that is made: bytes. */
export const MOST_BYTES = 256 * 2 ** 30
/** Of a conversion. */
export const CONVERSION = { ms: 6 * 3600_000, output: 1024 * 1024, file: MOST_BYTES }
/** Of `qemu-img check`: 3 are leaks, which do no harm, and 63 is a format that it does not check. */
const [FAILED, CORRUPT] = [1, 2]
const LOOK = { ms: 60_000, output: 1024 * 1024 }
const OPTIONS = "compat=1.1,cluster_size=65536,lazy_refcounts=off,refcount_bits=16,preallocation=off"

/** A disk that stands alone. */
export interface DiskSource {
  readonly path: string
  readonly format: SourceFormat
}

/**
 * Has qemu-img write the disk in the file `from`, which sourceKind has judged, into the new qcow2 `to`, in the form
 * that isPlainQcow2 knows. Throws OVM_DISK_INVALID with qemu-img's words, OVM_HOST_FAILED where that is missing,
 * OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export async function toQcow2(from: DiskSource, to: string, call: Call = {}): Promise<void> {
  const node = nodeOf(from)
  const info = await tool(["info", "--output=json", node], from.path, LOOK, call)
  const size = sizeIn(info)
  if (size === undefined || size <= 0 || size > MAX_VIRTUAL_SIZE)
    throw invalid(from.path, `is a disk of ${size} bytes, and there is none of more than ${MAX_VIRTUAL_SIZE}`)
  await tool(["convert", "-q", "-O", "qcow2", "-o", OPTIONS, node, to], from.path, CONVERSION, call)
}

/** QEMU reads zeros where a file is cut off, or its tables lead nowhere: a disk that would silently be another one. */
export async function refuseDamaged(from: DiskSource, call: Call = {}): Promise<void> {
  const { path } = from
  const { status, stdout } = await qemuImg(["check", "--output=json", nodeOf(from)], CONVERSION, call)
  if (![CORRUPT, FAILED].includes(status)) return
  const parsed: unknown = status === CORRUPT ? JSON.parse(stdout.toString("utf8")) : {}
  const errors = isObject(parsed) ? (parsed.corruptions ?? parsed["check-errors"]) : undefined
  throw invalid(path, `is damaged or cut off${errors ? `: ${errors} errors, as qemu-img check says` : ""}`)
}

/** Whatever a header says of other files is not looked at. */
function nodeOf({ path, format }: DiskSource): string {
  const file = { driver: "file", filename: path, "read-only": true }
  const alone = format === "qcow2" || format === "vmdk" ? { backing: null } : {}
  return `json:${JSON.stringify({ driver: format, "read-only": true, file, ...alone })}`
}

function sizeIn(info: Buffer): number | undefined {
  const parsed: unknown = JSON.parse(info.toString("utf8"))
  const size = isObject(parsed) ? parsed["virtual-size"] : undefined
  return typeof size === "number" ? size : undefined
}

/** Runs qemu-img on a stranger's file; `of` names it in errors. */
export async function tool(
  args: readonly string[],
  of: string,
  limits: typeof LOOK,
  call: Call = {},
): Promise<Buffer> {
  const { status, stdout, stderr } = await qemuImg(args, limits, call)
  if (status === 0) return stdout
  const why =
    stderr
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/^qemu-img: /, "") ?? ""
  const ours = /File too large/.test(why) && fileLimit() < MOST_BYTES
  if (ours || /No space left/.test(why)) throw new OvmError("OVM_NO_SPACE", `qemu-img: ${why}`)
  throw invalid(of, `cannot be read by qemu-img: ${why.replace(/'?json:\{.*\}'?/, "the disk").slice(0, 500)}`)
}

async function qemuImg(args: readonly string[], limits: typeof LOOK, call: Call): Promise<ToolResult> {
  return await runTool("qemu-img", args, limits, call).catch((thrown) => {
    throw thrown instanceof ToolMissing ? notInstalled(thrown.program) : thrown
  })
}
