/** User ids that belong to nobody else on the host, one for each machine in a jail. */
export interface UidRange {
  /** The first of them. */
  readonly from: number
  readonly count: number
}

/** What an operator says of jails: false for none. */
export type JailSettings = UidRange | false

/** Above those that distributions, containers and systemd give (systemd's UIDS-GIDS.md: unused). */
export const UIDS: UidRange = { from: 1_900_000_000, count: 65_536 }
