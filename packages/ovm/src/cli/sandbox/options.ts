import { resolve } from "node:path"
import { isPath } from "../../registry/reference.ts"
import type { NetworkWanted, SandboxRequest } from "../../runtime/interfaces.ts"
import { type ExecOptions, execRequest } from "../exec-options.ts"
import type { PlatformOption } from "../platform-option.ts"
import { type FileIn, readFilesIn } from "./files.ts"
import { pipedInput } from "./input.ts"
import type { Output } from "./outputs.ts"

/** How long a machine that boots may take to its agent unless told, in s. */
const BOOT = 300

export interface SandboxOptions extends Omit<ExecOptions, "interactive" | "tty">, PlatformOption {
  readonly file?: readonly string[]
  readonly out?: readonly string[]
  readonly stdin?: boolean
  readonly outputLimit?: number
  readonly memory?: number
  readonly network?: "user" | "none"
  readonly allowOutbound?: readonly string[]
  readonly json?: boolean
}

/** Reads the files, and standard input. Throws what these throw. */
export async function sandboxRequest(
  image: string,
  command: readonly string[],
  {
    files,
    outputs,
    options,
  }: {
    readonly files: readonly FileIn[]
    readonly outputs: readonly Output[]
    readonly options: SandboxOptions
  },
): Promise<SandboxRequest> {
  const { stdin, outputLimit, memory, platform, wait = BOOT, ...others } = options
  const request = execRequest(command, { ...others, wait })
  return {
    ...request,
    // The daemon has another working directory.
    manifest: isPath(image) ? resolve(image) : image,
    ...(files.length > 0 && { files: await readFilesIn(files) }),
    ...(outputs.length > 0 && { outputs: [...new Set(outputs.map(({ guest }) => guest))] }),
    ...(stdin && { input: await pipedInput() }),
    ...(outputLimit !== undefined && { output_limit: outputLimit }),
    ...(memory !== undefined && { memory }),
    ...(platform && { platform }),
    ...networkOf(options),
  }
}

function networkOf({ network, allowOutbound: allow }: SandboxOptions): { readonly network?: NetworkWanted } {
  const mode = network ?? (allow && "user")
  return mode === undefined ? {} : { network: { mode, ...(allow && { allow }) } }
}
