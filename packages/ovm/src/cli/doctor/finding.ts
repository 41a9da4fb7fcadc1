/** What `ovm doctor` says of one thing that machines need. */
export interface Finding {
  /** What was looked at, such as `kvm`. */
  readonly check: string
  /** warning: machines run, but slower or not for long; failure: some command will not work. */
  readonly state: "ok" | "warning" | "failure"
  readonly message: string
  /** What to type, or to do, so that it is ok. */
  readonly fix?: string
}
