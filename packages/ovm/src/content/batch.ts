/**
 * Bytes that are written to a file at once. Less costs several times as much per byte, in calls and in the page cache; and so does
 * 1 MiB, on ext4 with large folios: 1 GiB took 1.1 s, and 0.2 s in these.
 */
export const BATCH = 512 * 1024
