import type { Command } from "commander"
import { type Platform, parsePlatform } from "../artifact/platforms/platform.ts"
import { OvmError } from "../errors.ts"

export interface PlatformOption {
  readonly platform?: Platform
}

/** `which`: what of an index is meant without it. */
export function platformOption(command: Command, which = "this host's"): Command {
  return command.option(
    "--platform <os/arch>",
    `which machine of an index, such as linux/arm64; ${which} unless told`,
    parsePlatformText,
  )
}

/** Throws OVM_USAGE. */
export function parsePlatformText(text: string): Platform {
  const platform = parsePlatform(text)
  if (platform) return platform
  throw new OvmError("OVM_USAGE", `--platform: ${JSON.stringify(text)} is not of the form OS/ARCHITECTURE`, {
    hint: "linux/amd64, linux/arm64",
  })
}
