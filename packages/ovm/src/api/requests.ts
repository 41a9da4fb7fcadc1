import { posix } from "node:path"
import { breaches, type Places, type Validator } from "../artifact/breaches.ts"
import { requirementOfJson } from "../artifact/faults.ts"
import { readJson } from "../artifact/json.ts"
import { OvmError } from "../errors.ts"
import { isPath } from "../registry/reference.ts"
import type {
  CommitRequest,
  ExecControlRequest,
  ExecRequest,
  ForkRequest,
  NetworkRequest,
  PortRequest,
  RenameRequest,
  SandboxRequest,
  SnapshotRequest,
  StartRequest,
  StopRequest,
  VolumeRequest,
  WarmRequest,
} from "../runtime/interfaces.ts"
import places from "./generated/places.json" with { type: "json" }
import {
  CommitRequest as isCommitRequest,
  EmptyRequest as isEmptyRequest,
  ExecControlRequest as isExecControlRequest,
  ExecRequest as isExecRequest,
  ForkRequest as isForkRequest,
  NetworkRequest as isNetworkRequest,
  PortRequest as isPortRequest,
  RenameRequest as isRenameRequest,
  SandboxRequest as isSandboxRequest,
  SnapshotRequest as isSnapshotRequest,
  StartRequest as isStartRequest,
  StopRequest as isStopRequest,
  VolumeRequest as isVolumeRequest,
  WarmRequest as isWarmRequest,
} from "./generated/validators.js"
import { MAX_BODY, MAX_SANDBOX_BODY } from "./http.ts"

/**
 * The body of POST /start. Throws OVM_REQUEST_INVALID naming every fault; over a socket a path is absolute
 * (spec/runtime-api.md).
 */
export function parseStartRequest(body: Uint8Array): StartRequest {
  return withPlace(parse<StartRequest>(body, isStartRequest, places.StartRequest))
}

const CUT = "the characters of base64 come in groups of four"
const NO_NAME = "a file's path ends with its name, and has no empty element, . or .."

/** As parseStartRequest: the body of POST /sandbox. */
export function parseSandboxRequest(body: Uint8Array): SandboxRequest {
  const request = parse<SandboxRequest>(body, isSandboxRequest, places.SandboxRequest, MAX_SANDBOX_BODY)
  const { input = "", files = [] } = request
  const texts = [
    { pointer: "/input", text: input },
    ...files.map(({ content: text }, at) => ({ pointer: `/files/${at}/content`, text })),
  ]
  const faults = [
    ...texts
      .filter(({ text }) => text.length % 4 !== 0)
      .map(({ pointer }) => ({ pointer, requirement: "OVMS-API-408", message: CUT })),
    ...files.flatMap(({ path }, at) =>
      posix.resolve(path) === path
        ? []
        : [{ pointer: `/files/${at}/path`, requirement: "OVMS-API-532", message: NO_NAME }],
    ),
  ]
  if (faults.length > 0) throw invalid(faults)
  return withPlace(request)
}

function withPlace<T extends { readonly manifest: string }>(request: T): T {
  if (!isPath(request.manifest) || request.manifest.startsWith("/")) return request
  const message = "a path must be absolute: the daemon has another working directory"
  throw invalid([{ pointer: "/manifest", requirement: "OVMS-API-021", message }])
}

/** Of an operation whose path says all. Throws OVM_REQUEST_INVALID naming what is there all the same. */
export function assertEmpty(body: Uint8Array): void {
  if (body.length > 0) parse(body, isEmptyRequest, places.EmptyRequest)
}

export function parseStopRequest(body: Uint8Array): StopRequest {
  return parse(body, isStopRequest, places.StopRequest)
}

export function parseSnapshotRequest(body: Uint8Array): SnapshotRequest {
  return parse(body, isSnapshotRequest, places.SnapshotRequest)
}

export function parseCommitRequest(body: Uint8Array): CommitRequest {
  return parse(body, isCommitRequest, places.CommitRequest)
}

export function parseRenameRequest(body: Uint8Array): RenameRequest {
  return parse(body, isRenameRequest, places.RenameRequest)
}

export function parseForkRequest(body: Uint8Array): ForkRequest {
  return parse(body, isForkRequest, places.ForkRequest)
}

export function parsePortRequest(body: Uint8Array): PortRequest {
  return parse(body, isPortRequest, places.PortRequest)
}

export function parseVolumeRequest(body: Uint8Array): VolumeRequest {
  return parse(body, isVolumeRequest, places.VolumeRequest)
}

export function parseNetworkRequest(body: Uint8Array): NetworkRequest {
  return parse(body, isNetworkRequest, places.NetworkRequest)
}

export function parseExecRequest(body: Uint8Array): ExecRequest {
  return parse(body, isExecRequest, places.ExecRequest)
}

export function parseExecControl(body: Uint8Array): ExecControlRequest {
  return parse(body, isExecControlRequest, places.ExecControlRequest)
}

export function parseWarmRequest(body: Uint8Array): WarmRequest {
  return parse(body, isWarmRequest, places.WarmRequest)
}

interface Fault {
  readonly pointer: string
  readonly requirement: string
  readonly message: string
}

function parse<T>(body: Uint8Array, validate: Validator, places: Places, bytes = MAX_BODY): T {
  const read = readJson(body, { bytes, depth: 8 })
  if ("fault" in read) throw invalid([{ ...read.fault, requirement: requirementOfJson(read.fault) }])
  const faults = breaches(validate, places, read.value)
  if (faults.length > 0) throw invalid(faults)
  return read.value as T
}

function invalid(faults: readonly Fault[]): OvmError {
  const text = faults.map(({ pointer, message }) => (pointer ? `${pointer}: ${message}` : message)).join("; ")
  const detail = faults.map(({ pointer, requirement, message }) => ({ pointer, requirement, message }))
  return new OvmError("OVM_REQUEST_INVALID", `the request body is not valid: ${text}`, { detail })
}
