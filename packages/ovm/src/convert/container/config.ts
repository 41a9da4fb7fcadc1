import { type Digest, isDigest } from "../../content/digest.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { fault } from "./limits.ts"

/** What a container image says of how it is run (image-spec: config.md). */
export interface ContainerConfig {
  readonly os: string
  readonly architecture: string
  /** Of each layer as it is unpacked, base first. */
  readonly diffIds: readonly Digest[]
  /** Entrypoint and Cmd; empty if the image names no program. */
  readonly command: readonly string[]
  /** `NAME=VALUE`. */
  readonly environment: readonly string[]
  /** Absolute. */
  readonly directory: string
  readonly user: string | undefined
  readonly ports: readonly { readonly guest: number; readonly protocol?: "udp" }[]
  readonly labels: Readonly<Record<string, string>>
  /** All of that as its author wrote it. */
  readonly said: Readonly<Record<string, unknown>>
  /** Seconds since 1970; 0 where it says nothing of that, or what is none. */
  readonly created: number
}

/** Of the agent's texts (spec/agent.md). */
const MOST_TEXTS = 4096
const MOST_PORTS = 64

/** Reads a config; `what` is the image in messages. Throws OVM_ARTIFACT_INVALID, OVM_UNSUPPORTED. */
export function readConfig(bytes: Uint8Array, what: string): ContainerConfig {
  const document = objectOf(parsed(bytes, what), "its config", what)
  const config = objectOf(document.config ?? {}, "config", what)
  const rootfs = objectOf(document.rootfs ?? {}, "rootfs", what)
  const diffIds = textsIn(rootfs.diff_ids, "rootfs.diff_ids", what)
  if (!diffIds.every(isDigest)) throw fault(what, "a digest in rootfs.diff_ids is none")
  const environment = textsIn(config.Env, "config.Env", what)
  if (environment.some((one) => one.indexOf("=") < 1))
    throw fault(what, "an entry of config.Env is not NAME=VALUE")
  const directory = textIn(config.WorkingDir, "config.WorkingDir", what)
  const user = textIn(config.User, "config.User", what)
  return {
    os: textIn(document.os, "os", what),
    architecture: textIn(document.architecture, "architecture", what),
    diffIds,
    command: [
      ...textsIn(config.Entrypoint, "config.Entrypoint", what),
      ...textsIn(config.Cmd, "config.Cmd", what),
    ],
    environment,
    directory: directory.startsWith("/") ? directory : `/${directory}`,
    user: user === "" ? undefined : user,
    ports: portsIn(config.ExposedPorts, what),
    labels: labelsIn(config.Labels),
    said: config,
    created: secondsOf(document.created),
  }
}

function parsed(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what}: its config is not JSON in UTF-8`, { cause })
  }
}

function objectOf(value: unknown, name: string, what: string): Record<string, unknown> {
  if (isObject(value)) return value
  throw fault(what, `${name} is not a JSON object`)
}

function textIn(value: unknown, name: string, what: string): string {
  if (value === undefined || value === null) return ""
  if (typeof value === "string" && !value.includes("\0")) return value
  throw fault(what, `${name} is no text`)
}

function textsIn(value: unknown, name: string, what: string): string[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw fault(what, `${name} is not an array`)
  if (value.length > MOST_TEXTS) throw fault(what, `${name} has more than ${MOST_TEXTS} entries`)
  return value.map((one) => {
    if (typeof one === "string" && !one.includes("\0")) return one
    throw fault(what, `an entry of ${name} is no text`)
  })
}

function portsIn(value: unknown, what: string): ContainerConfig["ports"] {
  if (value === undefined || value === null) return []
  const ports = Object.keys(objectOf(value, "config.ExposedPorts", what)).map((text) => {
    const [, number = "", protocol] = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? []
    const guest = Number(number)
    if (guest < 1 || guest > 65535)
      throw new OvmError(
        "OVM_UNSUPPORTED",
        `${what}: a machine cannot offer the port ${JSON.stringify(text)}`,
      )
    return protocol === "udp" ? ({ guest, protocol } as const) : { guest }
  })
  if (ports.length > MOST_PORTS)
    throw new OvmError(
      "OVM_UNSUPPORTED",
      `${what}: a machine cannot offer ${ports.length} ports, but ${MOST_PORTS}`,
    )
  return ports
}

function secondsOf(value: unknown): number {
  const found = typeof value === "string" ? Math.floor(Date.parse(value) / 1000) : 0
  return found > 0 ? found : 0
}

function labelsIn(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {}
  return Object.fromEntries(
    Object.entries(value).filter((one): one is [string, string] => typeof one[1] === "string"),
  )
}
