import { execFile } from "node:child_process"
import { promisify } from "node:util"
import type { Command } from "commander"
import { OvmError, toOvmError } from "../errors.ts"
import { readRegular } from "../files/regular.ts"
import type { Overrides } from "../runtime/interfaces.ts"

/** What a guest is told at its first boot (spec/first-boot.md). */
export interface FirstBootOptions {
  readonly hostname?: string
  readonly sshKey?: readonly string[]
  readonly ssh?: boolean
  readonly sshUser?: string
  readonly userData?: string
  readonly metaData?: string
  readonly networkConfig?: string
  readonly ignition?: string
}

type FirstBoot = NonNullable<Overrides["config"]>

/** As one request takes it (spec/limits.md). */
const DOCUMENT_LIMIT = 48 << 10
/** A line of authorized_keys: perhaps options, then the kind and the key (sshd(8)). */
const KEY = /(^|\s)(ssh-|ecdsa-|sk-)[\w@.-]+\s+[A-Za-z0-9+/]{16,}={0,3}(\s|$)/

export function defineFirstBootOptions(command: Command): Command {
  const collect = (value: string, before: readonly string[] = []) => [...before, value]
  return command
    .option("--hostname <name>", "name that the guest gives itself at its first boot")
    .option("--ssh-key <file>", "public key that may log in, or `agent` for those of the SSH agent", collect)
    .option(
      "--ssh",
      "a key of the machine's own that may log in, and a port that leads to its sshd: for ovm ssh",
    )
    .option(
      "--ssh-user <name>",
      "as --ssh, and what the user is called whom the guest makes for it; ovm unless told",
    )
    .option("--user-data <file>", "document for the guest's cloud-init, or its like")
    .option("--meta-data <file>", "document in place of --hostname and --ssh-key")
    .option("--network-config <file>", "document about the guest's network")
    .addOption(
      command
        .createOption(
          "--ignition <file>",
          "configuration for a guest that Ignition sets up, in place of all these",
        )
        .conflicts(["hostname", "sshKey", "ssh", "sshUser", "userData", "metaData", "networkConfig"]),
    )
}

/** What the options say of `ovm ssh`. */
export function sshOf({ ssh, sshUser }: FirstBootOptions): Pick<Overrides, "ssh"> {
  if (sshUser !== undefined) return { ssh: { user: sshUser } }
  return ssh ? { ssh: {} } : {}
}

/**
 * What the options say; undefined if they say nothing. Throws OVM_USAGE, OVM_FILE_UNREADABLE, OVM_TOO_LARGE naming the
 * option or the file.
 */
export async function firstBootOf(options: FirstBootOptions): Promise<FirstBoot | undefined> {
  const { hostname, sshKey = [], ssh, sshUser, userData, metaData, networkConfig, ignition } = options
  if (metaData !== undefined && (hostname !== undefined || sshKey.length > 0 || ssh || sshUser !== undefined))
    throw new OvmError(
      "OVM_USAGE",
      "option '--meta-data' stands in place of '--hostname', '--ssh-key', '--ssh' and '--ssh-user'",
    )
  const config: FirstBoot = {
    ...(hostname !== undefined && { hostname }),
    ...(sshKey.length > 0 && { sshKeys: (await Promise.all(sshKey.map(keysOf))).flat() }),
    ...(userData !== undefined && { userData: await text(userData) }),
    ...(metaData !== undefined && { metaData: await text(metaData) }),
    ...(networkConfig !== undefined && { networkConfig: await text(networkConfig) }),
    ...(ignition !== undefined && { ignition: await text(ignition) }),
  }
  return Object.keys(config).length > 0 ? config : undefined
}

async function text(path: string): Promise<string> {
  const bytes = await readRegular(path, DOCUMENT_LIMIT)
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new OvmError("OVM_USAGE", `${path} is no text in UTF-8`, { cause })
  }
}

async function keysOf(source: string): Promise<readonly string[]> {
  const content = source === "agent" ? await agentKeys() : await text(source)
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(content))
    throw new OvmError("OVM_USAGE", `${source} is a private key, which is nobody else's business`, {
      hint: `--ssh-key ${source}.pub`,
    })
  const lines = content.split(/\r?\n/).filter((line) => line.trim() !== "" && !line.startsWith("#"))
  const odd = lines.find((line) => !KEY.test(line))
  if (lines.length > 0 && odd === undefined) return lines
  throw new OvmError(
    "OVM_USAGE",
    `${source} has ${odd === undefined ? "no key" : "a line that is no public key"}`,
    {
      hint: "ssh-keygen makes keys; --ssh-key wants the file that ends in .pub",
    },
  )
}

async function agentKeys(): Promise<string> {
  try {
    return (await promisify(execFile)("ssh-add", ["-L"])).stdout
  } catch (cause) {
    const { stdout, stderr } = cause as { stdout?: string; stderr?: string }
    const why = (stderr || stdout || toOvmError(cause).message).trim()
    throw new OvmError("OVM_USAGE", `the SSH agent gives no keys: ${why}`, { cause })
  }
}
