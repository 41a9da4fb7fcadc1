import type { Command } from "commander"
import { OvmError } from "../../errors.ts"
import { DockerCredentials } from "../../registry/credentials.ts"
import { examples } from "../examples.ts"
import { printError } from "../output.ts"

export function define(command: Command): void {
  command
    .description("Remove a registry's credentials from ~/.docker/config.json, or from its credential helper.")
    .argument("<host>", "the registry's host, with its port if it has one")
    .action(run)
  examples(command, "ovm logout registry.example.com")
}

async function run(host: string): Promise<void> {
  const erased = await new DockerCredentials().erase(host.toLowerCase())
  if (!erased)
    throw new OvmError(
      "OVM_CREDENTIALS_UNAVAILABLE",
      `there are no credentials for ${JSON.stringify(host)}`,
      {
        hint: `ovm login ${host}`,
      },
    )
  printError(`Logged out of ${host}.\n`)
}
