export { connect } from "./client.ts"
export { ApiError } from "./errors.ts"
export { type ExecPiece, execPieces, sandboxPieces } from "./exec.ts"
export type {
  AttachOptions,
  Bytes,
  Call,
  EventsOptions,
  ExecStreamOptions,
  ExecTypeOptions,
  LogsOptions,
  PortNamed,
  ReadFilesOptions,
  ReadyOptions,
  Runtime,
  TypeOptions,
  WindowSize,
  WriteFilesOptions,
} from "./runtime.ts"
export type * from "./wire.ts"
