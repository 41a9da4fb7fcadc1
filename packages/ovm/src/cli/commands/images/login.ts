import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import { paths } from "../../../host/paths.ts"
import { DockerCredentials } from "../../../registry/auth/credentials.ts"
import { connectHost } from "../../../registry/connect.ts"
import type { Transport } from "../../../registry/transport/transport.ts"
import { ask } from "../../ask.ts"
import { parseScope } from "../../credential-scope.ts"
import { interruptible } from "../../interrupt.ts"
import { printError } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"

interface LoginOptions {
  readonly username?: string
  readonly passwordStdin?: boolean
  readonly plainHttp?: boolean
}

/** Where there is nobody to ask. */
const HINT = "ovm login --username NAME --password-stdin HOST < FILE"
/** A password is shorter than this, in bytes. */
const PASSWORD_LIMIT = 64 << 10

export function define(command: Command): void {
  command
    .description(
      "Check credentials with a registry and keep them where other OCI tools have theirs: with the credential " +
        "helper that ~/.docker/config.json names, else in that file.",
    )
    .argument(
      "<host>",
      "the registry's host, with its port if it has one; with a path for what is below that only",
    )
    .option("-u, --username <name>", "user name; asked for on a terminal otherwise")
    .option("--password-stdin", "read the password from standard input")
    .option("--plain-http", "speak HTTP without TLS to the registry")
    .action(run)
  examples(
    command,
    "ovm login registry.example.com",
    "ovm login -u robot --password-stdin registry.example.com < token",
    "ovm login -u robot --password-stdin registry.example.com/team-a < token",
  )
}

async function run(name: string, options: LoginOptions): Promise<void> {
  const { host, scope } = parseScope(name, "ovm login registry.example.com")
  const username = options.username ?? (await ask("User name: ", "--username is not given", HINT))
  const password = options.passwordStdin
    ? await passwordFromInput()
    : await ask("Password: ", "--password-stdin is not given", HINT, true)
  if (!username || !password)
    throw new OvmError("OVM_USAGE", `${username ? "the password" : "the user name"} is empty`)
  await interruptible(async (signal) => {
    const registry = await connectHost(host, {
      settings: paths().registries,
      credentials: { get: async () => ({ username, password }) },
      ...(options.plainHttp && { plainHttp: true }),
    })
    await verify(registry, signal)
    await new DockerCredentials({ env: process.env }).store(scope, username, password)
  })
  printError(`Logged in to ${name} as ${username}.\n`)
}

/** Asks for nothing but an answer (distribution-spec: spec.md, "Determining Support"). */
async function verify(registry: Transport, signal: AbortSignal): Promise<void> {
  try {
    const { response } = await registry.send({ method: "GET", url: "/v2/", scope: "", what: "login", signal })
    await response.body?.cancel()
  } catch (thrown) {
    if (!(thrown instanceof OvmError) || thrown.code !== "OVM_REGISTRY_UNAUTHORIZED") throw thrown
    throw new OvmError(thrown.code, `${registry.host} does not accept this user name and password`, {
      cause: thrown,
      hint: "many registries want a token in place of the password",
    })
  }
}

async function passwordFromInput(): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > PASSWORD_LIMIT)
      throw new OvmError("OVM_USAGE", `the password is longer than ${PASSWORD_LIMIT} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, "")
}
