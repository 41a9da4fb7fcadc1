import { resolve } from "node:path"
import type { Command } from "commander"
import { toOvmError } from "../../../../errors.ts"
import { paths } from "../../../../host/paths.ts"
import { loadPolicy } from "../../../../signing/policy/load.ts"
import { print, printJson } from "../../../output.ts"
import { examples } from "../../../terminal/examples.ts"

interface ValidateOptions {
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Report every fault of a policy file at once, each with its place and the requirement of the " +
        "specification that it breaks. The keys and trusted roots that it names are read as well. Without a file, " +
        "that of this host.",
    )
    .argument("[file]", "path of a policy")
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm policy validate policy.json", "ovm policy validate --json")
}

async function run(file: string | undefined, options: ValidateOptions): Promise<void> {
  const path = resolve(file ?? paths().policy)
  try {
    const { scopes, local } = await loadPolicy(path, new Map())
    const names = [...scopes.keys()]
    if (options.json) return printJson({ valid: true, file: path, scopes: names, faults: [] })
    const all = ["default", ...(local ? ["local"] : []), ...names]
    print(`${path}: valid (policy), for ${all.join(", ")}\n`)
  } catch (thrown) {
    const error = toOvmError(thrown)
    if (options.json)
      printJson({ valid: false, file: path, faults: Array.isArray(error.detail) ? error.detail : [] })
    throw error
  }
}
