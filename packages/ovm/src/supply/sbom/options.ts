export interface DocumentOptions {
  readonly created: Date
  /** Of ovm. */
  readonly version: string
}
