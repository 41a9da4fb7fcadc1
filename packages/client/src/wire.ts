import type { codes } from "./generated/codes.ts"
import type { components } from "./generated/openapi.ts"

// What goes over the socket (spec/api/openapi.yaml), under the names that it has there. Sizes in bytes, durations in
// ms, times in RFC 3339.

type Schemas = components["schemas"]

export type StartRequest = Schemas["StartRequest"]
export type Overrides = Schemas["Overrides"]
export type StartAnswer = Schemas["StartAnswer"]
export type CreateAnswer = Schemas["CreateAnswer"]
export type CommitRequest = Schemas["CommitRequest"]
export type CommitAnswer = Schemas["CommitAnswer"]
export type RenameRequest = Schemas["RenameRequest"]
export type PortRequest = Schemas["PortRequest"]
export type Port = Schemas["Port"]
export type StopRequest = Schemas["StopRequest"]
export type StopAnswer = Schemas["StopAnswer"]
export type PauseAnswer = Schemas["PauseAnswer"]
export type SnapshotRequest = Schemas["SnapshotRequest"]
export type SnapshotAnswer = Schemas["SnapshotAnswer"]
export type ScrubReport = NonNullable<SnapshotAnswer["scrub"]>
export type WarmRequest = Schemas["WarmRequest"]
export type WarmAnswer = Schemas["WarmAnswer"]
export type WarmInfo = Schemas["WarmInfo"]
export type InstanceInfo = Schemas["InstanceInfo"]
export type State = Schemas["State"]
export type Phase = Schemas["Phase"]
export type ExecRequest = Schemas["ExecRequest"]
export type ExecAnswer = Schemas["ExecAnswer"]
export type ExecEnd = Schemas["ExecEnd"]
export type ExecControlRequest = Schemas["ExecControlRequest"]
export type AgentInfo = Schemas["AgentInfo"]
export type Volume = Schemas["Volume"]
export type ShareUse = Schemas["ShareUse"]
export type VolumeUse = Schemas["VolumeUse"]
export type VolumeRequest = Schemas["VolumeRequest"]
export type Network = Schemas["Network"]
export type NetworkRequest = Schemas["NetworkRequest"]
export type RuntimeEvent = Schemas["Event"]
export type Degraded = NonNullable<InstanceInfo["degraded"]>[number]
export type EventType = Schemas["EventType"]
export type Timings = Schemas["Timings"]
export type StopMethod = Schemas["StopMethod"]
export type Health = Schemas["Health"]
export type RuntimeInfo = Schemas["RuntimeInfo"]
export type PolicyFacts = RuntimeInfo["policy"]
export type VmmInfo = Schemas["VmmInfo"]
export type ErrorEntry = Schemas["ErrorEntry"]
/** The closed list of error codes (spec/errors.json). */
export type ErrorCode = ErrorEntry["code"]
/** What an error is about, by its code. */
export type ErrorClass = (typeof codes)[ErrorCode]
