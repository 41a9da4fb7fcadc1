import type { Command } from "commander"
import { VERSION } from "../../../version.ts"
import { print, printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface VersionOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command.option("--json", "print JSON").action(run)
  examples(command, "ovm version", "ovm version --json")
}

function run(options: VersionOptions): void {
  if (options.json)
    printJson({ version: VERSION, bun: Bun.version, platform: `${process.platform}/${process.arch}` })
  else print(`ovm ${VERSION}\n`)
}
