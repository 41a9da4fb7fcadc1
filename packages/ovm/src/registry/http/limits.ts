/** How patient a client is. Times are milliseconds. */
export interface HttpLimits {
  /** Requests for one thing, the first included. */
  readonly attempts: number
  /** The pause after the first failure; each further one doubles it, and chance takes up to half away. */
  readonly backoffMs: number
  /** The longest pause that a registry may ask for by Retry-After; above it the request fails at once. */
  readonly longestPauseMs: number
  /** From the end of a request to the head of its answer; connecting included. */
  readonly responseMs: number
  /** Between two pieces of a body. */
  readonly stallMs: number
  /** Bytes per second below which an upload counts as stalled. */
  readonly slowestUpload: number
  /**
   * Bytes per second, over `rateMs`, below which a download counts as stalled: whoever sends a byte now and then is cut
   * off, and asked anew.
   */
  readonly slowestDownload: number
  readonly rateMs: number
  /** Bytes of a large blob that are asked for at a time, at least. */
  readonly rangeBytes: number
}

export const HTTP_LIMITS: HttpLimits = {
  attempts: 5,
  backoffMs: 200,
  longestPauseMs: 30_000,
  responseMs: 30_000,
  stallMs: 30_000,
  slowestUpload: 32 * 1024,
  slowestDownload: 2 * 1024,
  rateMs: 20_000,
  rangeBytes: 16 * 1024 * 1024,
}
