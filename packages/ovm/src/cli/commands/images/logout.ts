import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { DockerCredentials } from "../../../registry/auth/credentials.ts"
import { parseScope } from "../../credential-scope.ts"
import { printError } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

export function define(command: Command): void {
  command
    .description("Remove a registry's credentials from ~/.docker/config.json, or from its credential helper.")
    .argument(
      "<host>",
      "the registry's host, with its port if it has one; with a path for what is below that only",
    )
    .action(run)
  examples(command, "ovm logout registry.example.com", "ovm logout registry.example.com/team-a")
}

async function run(name: string): Promise<void> {
  const { host, scope } = parseScope(name, "ovm logout registry.example.com")
  const credentials = new DockerCredentials({ env: process.env })
  if (await credentials.erase(scope)) return printError(`Logged out of ${name}.\n`)
  const others = (await credentials.scopesOf(host)).filter((other) => other !== scope)
  throw new OvmError("OVM_CREDENTIALS_UNAVAILABLE", `there are no credentials for ${JSON.stringify(name)}`, {
    hint: others.length > 0 ? `ovm logout ${others.join(", or ")}` : `ovm login ${name}`,
  })
}
