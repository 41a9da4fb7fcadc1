import { join, resolve } from "node:path"
import { type Command, InvalidArgumentError } from "commander"
import { OvmError } from "../../../../errors.ts"
import { paths } from "../../../../host/paths.ts"
import { UPLOAD_LIMITS } from "../../../../registry-server/folder/uploads.ts"
import type { AccessEntry } from "../../../../registry-server/serve.ts"
import { interruptible } from "../../../interrupt.ts"
import { print, printable, printError } from "../../../output.ts"
import { parseSize } from "../../../size.ts"
import { examples } from "../../../terminal/examples.ts"

interface ServeOptions {
  readonly address: Address
  readonly root?: string
  readonly readOnly?: boolean
  readonly store?: boolean
  readonly htpasswd?: string
  readonly allowAnonymous?: boolean
  readonly uploadQuota?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly verbose?: boolean
  readonly json?: boolean
}

interface Address {
  readonly hostname: string
  readonly port: number
}

const ADDRESS = "127.0.0.1:5000"

export function define(command: Command): void {
  command
    .description(
      "Serve a registry that any OCI client can push to and pull from, until Ctrl-C. It is open to whoever can " +
        "reach it, which is this host alone unless --address says otherwise. One line with the address is printed " +
        "when it is ready.",
    )
    .option(
      "--address <host:port>",
      "where to listen; port 0 takes a free one",
      parseAddress,
      parseAddress(ADDRESS),
    )
    .option("--root <path>", "folder of the registry's content, made if there is none")
    .option("--store", "serve the images of this host, read-only, in place of a registry of its own")
    .option("--read-only", "refuse everything but pulls")
    .option("--htpasswd <file>", "ask for a user name and password of this file, which has hashes of bcrypt")
    .option("--allow-anonymous", "serve others than this host without asking for a password")
    .option(
      "--upload-quota <size>",
      "what a client may have in uploads that are not finished; 1.25GiB unless told, for users of --htpasswd no limit",
    )
    .option("--tls-cert <file>", "serve HTTPS with this certificate")
    .option("--tls-key <file>", "and its key")
    .option("--verbose", "print a line for every request on standard error")
    .option("--json", "print the one line as JSON")
    .action(run)
  const address = command.options.find((option) => option.long === "--address")
  if (address) address.defaultValueDescription = ADDRESS
  command.options.find((option) => option.long === "--store")?.conflicts("root")
  examples(
    command,
    "ovm registry serve",
    "ovm registry serve --store --address 192.168.1.20:5000 --allow-anonymous",
    "# and on the other host: ovm pull --plain-http 192.168.1.20:5000/debian:13",
    "ovm registry serve --address 0.0.0.0:5000 --htpasswd users --tls-cert cert.pem --tls-key key.pem",
  )
}

async function run(options: ServeOptions, command: Command): Promise<void> {
  const { tlsCert, tlsKey, address } = options
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    command.error("error: options '--tls-cert' and '--tls-key' need each other")
  if (!isHere(address.hostname) && options.htpasswd === undefined && options.allowAnonymous !== true)
    throw new OvmError(
      "OVM_USAGE",
      `--address ${address.hostname} lets in others than this host, and nobody would be asked for a password`,
      { hint: "--htpasswd FILE asks for one; --allow-anonymous says that it should be so" },
    )
  const quota =
    options.uploadQuota === undefined ? undefined : parseSize(options.uploadQuota, "--upload-quota")
  const { startRegistry } = await import("../../../../registry-server/run.ts")
  const root = resolve(options.root ?? join(paths().root, "registry"))
  const source = options.store ? { store: paths().store } : { root, readOnly: options.readOnly === true }
  await interruptible(async (signal) => {
    await using server = await startRegistry({
      ...address,
      source,
      tls: tlsCert !== undefined && tlsKey !== undefined ? { cert: tlsCert, key: tlsKey } : undefined,
      htpasswd: options.htpasswd,
      ...(quota !== undefined && { uploads: { ...UPLOAD_LIMITS, namedBytes: quota, anonymousBytes: quota } }),
      log: logError,
      access: options.verbose ? logAccess : undefined,
    })
    for (const warning of warnings(options)) printError(`warning: ${warning}\n`)
    const readOnly = options.store === true || options.readOnly === true
    const place = "store" in source ? source.store : source.root
    if (options.json)
      print(
        `${JSON.stringify({ address: server.address, url: server.url, root: place, read_only: readOnly })}\n`,
      )
    else print(`serving ${place} at ${server.url}${readOnly ? ", read-only" : ""}\n`)
    if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done, { once: true }))
  })
}

function parseAddress(text: string): Address {
  const [, ipv6, name, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? []
  const hostname = ipv6 ?? name
  if (hostname !== undefined && Number(port) <= 65535) return { hostname, port: Number(port) }
  throw new InvalidArgumentError("It is HOST:PORT, for example 127.0.0.1:5000.")
}

/** True for an address that only this host reaches. */
function isHere(hostname: string): boolean {
  return /^(127\.\d+\.\d+\.\d+$|localhost$|::1$)/.test(hostname)
}

function* warnings(options: ServeOptions): Generator<string> {
  const { hostname } = options.address
  if (isHere(hostname)) return
  if (options.htpasswd === undefined)
    yield options.store || options.readOnly
      ? `whoever can reach ${hostname} can read everything here; see --htpasswd`
      : `whoever can reach ${hostname} can read and replace everything here; see --htpasswd`
  else if (options.tlsCert === undefined) yield "passwords cross the network in clear text; see --tls-cert"
}

function logError(error: OvmError): void {
  printError(`error: ${error.code}: ${printable(error.message)}\n`)
}

function logAccess({ client, method, path, status, ms }: AccessEntry): void {
  printError(`${new Date().toISOString()} ${client} ${method} ${printable(path)} ${status} ${ms} ms\n`)
}
