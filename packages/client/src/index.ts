export { connect } from "./client.ts"
export { ApiError } from "./errors.ts"
export type {
  AttachOptions,
  Bytes,
  Call,
  EventsOptions,
  LogsOptions,
  Runtime,
  TypeOptions,
} from "./runtime.ts"
export type * from "./wire.ts"
