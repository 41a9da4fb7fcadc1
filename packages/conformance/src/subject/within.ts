import { fail } from "../check.ts"

/** Returns once `done`; fails if that takes longer, with what was waited for. */
export async function within(
  limitMs: number,
  signal: AbortSignal,
  what: string,
  done: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!(await done())) {
    if (signal.aborted || performance.now() > deadline) fail(`${what}: not in time`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
