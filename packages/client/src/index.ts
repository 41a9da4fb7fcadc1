export { connect } from "./client.ts"
export { ApiError } from "./errors.ts"
export type { Bytes, Call, EventsOptions, LogsOptions, Runtime } from "./runtime.ts"
export type * from "./wire.ts"
